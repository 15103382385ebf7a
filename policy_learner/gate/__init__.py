"""Whether a version may be served: its own soundness, and what it would earn beside earlier ones."""
