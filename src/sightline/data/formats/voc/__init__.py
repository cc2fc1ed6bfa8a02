"""Pascal VOC: an XML a picture, and segmentation pictures."""
