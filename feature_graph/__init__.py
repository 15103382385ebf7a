"""An async dependency graph of feature fetches, on the standard library alone."""
