"""Whether a challenger takes the champion's place: evidence from the joined log, valid whenever looked at."""
