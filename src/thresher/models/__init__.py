"""Encoder and classification head from a name or folder; tokenising; padding-safe batches."""
