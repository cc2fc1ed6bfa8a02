"""The Open Inference Protocol V2 over HTTP, with the extensions of Triton Inference Server that its clients use."""
