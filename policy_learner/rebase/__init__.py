"""A model trained again from the log, compared, and handed over beside the one that serves."""
