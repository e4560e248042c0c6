"""Hugging Face `Trainer` with two learning rates; checkpoints; whole-set evaluations; resume."""
