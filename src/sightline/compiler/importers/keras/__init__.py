"""Keras: .keras and .h5."""
