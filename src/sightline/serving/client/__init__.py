"""Clients of a server: `sightline.Client`, `sightline.AsyncClient`, and a Deployment of a server as a Predictor."""
