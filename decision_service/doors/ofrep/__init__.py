"""OpenFeature's remote evaluation protocol (OFREP 0.3): every client of OpenFeature gets its arm here.

A flag is a choice among arms: the variant is the arm, and the metadata say with which probability, and which
decision it was, so that its rewards find it.
"""
