"""Boxes in text lists."""
