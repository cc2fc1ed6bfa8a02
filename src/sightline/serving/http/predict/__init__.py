"""`POST /predict/{name}`: pictures in, annotations or a picture out."""
