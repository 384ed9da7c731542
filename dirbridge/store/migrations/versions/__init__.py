"""One module for each schema, `rev_NNNN`."""
