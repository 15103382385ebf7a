"""Features to scores to probabilities to an arm. Pure: no I/O, no clock, no global state."""
