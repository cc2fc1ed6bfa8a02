"""NVIDIA GPUs: an ONNX graph as PyTorch operators, captured in CUDA graphs."""
