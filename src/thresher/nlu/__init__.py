"""The voice-assistant stack: rows with slots, a hierarchical model, its metrics, and pruning that fits production."""
