"""PyTorch networks of strangers, opened without running what is in them."""
