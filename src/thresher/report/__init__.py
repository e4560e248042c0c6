"""One self-contained HTML page from a run folder. Reads files only: no model, no rows, no retraining."""

from thresher.report.page import write

__all__ = ["write"]
