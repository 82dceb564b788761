"""Embed, index, search and guard."""
