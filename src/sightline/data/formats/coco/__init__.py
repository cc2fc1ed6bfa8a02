"""COCO: one JSON a split."""
