"""From the store's streams to examples: what is due is closed, read by position, shared between processes."""
