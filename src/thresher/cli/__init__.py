"""The command line: thin commands over the steps of `thresher.api`."""

from thresher.cli.main import main

__all__ = ["main"]
