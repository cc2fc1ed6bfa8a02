"""LabelMe: a JSON beside each picture."""
