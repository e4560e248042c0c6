"""The types of what a step writes and the report or another step reads, one file per kind of result."""
