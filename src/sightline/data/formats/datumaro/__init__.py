"""Datumaro JSON: a file a subset."""
