"""The decision service: the platform's front door."""
