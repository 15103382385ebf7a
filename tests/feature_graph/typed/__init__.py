"""Code of people who use feature_graph, as type checkers see it."""
