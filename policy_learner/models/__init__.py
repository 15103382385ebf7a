"""What becomes of versions: published, kept, backed up, rebuilt, replayed, rolled back."""
