"""Decode heads: from a network's raw outputs to annotations in source pixels."""
