"""Language models: local and behind an API."""
