"""The platform on a real cluster of the store."""
