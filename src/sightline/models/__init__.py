"""Network architectures (PyTorch) behind one base class and one table."""
