"""VGG Image Annotator 2: one JSON of many pictures."""
