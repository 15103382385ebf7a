"""The minimal model container: weights in memory, one scoring endpoint on a Unix socket."""
