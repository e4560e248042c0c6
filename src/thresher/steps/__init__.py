"""The steps on a run folder, one file each: what was done already is not done again, and nobody else works on it."""
