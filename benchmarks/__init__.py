"""Every figure that the README quotes, each a ratio to a yardstick run beside it."""
