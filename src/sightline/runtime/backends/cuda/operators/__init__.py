"""ONNX operators in PyTorch, a file for each kind; `table` joins them."""
