"""One file per format: bytes in, the wanted columns out; and for the text formats the raw bytes of each record."""
