"""Pages that people look at: one HTML file that needs nothing else."""

SHOWN = 20_000
"""So many utterances a run's page shows, and then those up to the end of their dialogue."""
