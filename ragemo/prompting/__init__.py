"""Templates and the token budget."""
