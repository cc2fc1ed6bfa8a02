"""TFLite: float and quantised."""
