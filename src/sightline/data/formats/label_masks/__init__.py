"""Semantic masks as pictures beside pictures, and what their values mean."""
