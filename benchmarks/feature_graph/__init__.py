"""The gates B1–B10 of the feature graph.

``suite.py`` runs in our own environment and starts ``child.py`` under every Python and loop; the child
imports nothing but the standard library, ``feature_graph``, and uvloop or Hamilton where they are asked for.
"""
