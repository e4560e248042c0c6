"""The job on a run: start it, train, measure, score, select; one step in each file."""
