"""``make demo``: real logs and live sessions through the whole platform, and an honest account of both."""
