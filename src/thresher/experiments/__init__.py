"""The questions that are asked of a run, one in each file, and the trainings that answer them."""
