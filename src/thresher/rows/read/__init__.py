"""One module per format: reads the requested columns and, for text formats, splits a file into the bytes of its records."""
