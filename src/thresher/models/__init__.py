"""Load an encoder by name or folder, build the classifier on top of it, tokenise texts and make padded batches."""
