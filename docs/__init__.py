"""Pages, and the program that writes the page of settings."""
