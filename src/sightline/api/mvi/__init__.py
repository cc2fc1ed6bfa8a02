"""`/api` of `sightline up`: what PowerAI Vision and Maximo Visual Inspection answer, made of what `/v1` is made of."""
