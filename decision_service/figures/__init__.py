"""What the service counts about itself, for Prometheus: a file a subject, names and meanings in each."""
