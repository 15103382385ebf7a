"""Bytes that leave a process: events, wire, Redis keys and scripts, hashing, weights, Parquet columns."""
