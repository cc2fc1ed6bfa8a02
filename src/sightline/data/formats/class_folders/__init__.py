"""One folder a class."""
