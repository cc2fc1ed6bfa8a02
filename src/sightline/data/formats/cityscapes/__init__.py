"""Cityscapes: polygons and label pictures of road scenes."""
