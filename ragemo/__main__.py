"""`python -m ragemo`."""

from ragemo.cli import main

main()
