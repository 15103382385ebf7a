"""The log in Parquet: written once, compacted, kept, forgotten, shipped, read back."""
