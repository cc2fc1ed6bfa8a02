"""Supervisely projects: a JSON a picture."""
