"""Activations that memory has no room for wait in a file between forward and backward."""
