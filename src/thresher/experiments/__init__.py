"""The questions about a run, one per file, and the trainings that answer them."""
