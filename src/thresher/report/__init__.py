"""One self-contained HTML page from a run folder. It reads files only: no model is loaded and nothing is retrained."""

from thresher.report.page import write

__all__ = ["write"]
