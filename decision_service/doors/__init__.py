"""Doors that people already have clients for: other products' HTTP, answered with what is ours.

Each is a dialect: which paths it knows, where it carries its key, and how it refuses. ``foreign.py`` is the
door that speaks them; what goes on behind it is the same decision, the same reward, the same log.
"""
