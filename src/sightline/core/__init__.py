"""Nouns every layer shares: manifests, Annotation, categories, errors, settings, workspace; knows no arrays."""
