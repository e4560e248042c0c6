"""The study: whole stacks trained on pruned rows, judged on the same test rows, set beside stacks on all rows."""
