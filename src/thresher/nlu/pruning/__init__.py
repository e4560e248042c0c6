"""Pruning the training rows of a stack: scores, sampling scores, chosen sources, synthetic rows."""
