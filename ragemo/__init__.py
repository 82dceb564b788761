"""Retrieval-augmented few-shot emotion recognition in conversation."""

__version__ = "0.1.0"
