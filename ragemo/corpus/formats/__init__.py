"""One file per corpus format."""
