"""One pass over the rows that measures everything scores need; chunk plan, resume, engines."""
