"""The feature graph, held against its reference."""
