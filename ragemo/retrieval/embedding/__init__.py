"""Texts become vectors, each text once."""
