"""Open Inference Protocol V2 over gRPC: the handlers of `serving.v2` behind other messages; needs the extra `grpc`."""
