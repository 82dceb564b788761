"""From ballots to a verdict."""
