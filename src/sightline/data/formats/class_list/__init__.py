"""Labels of whole pictures in text lists."""
