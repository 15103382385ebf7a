"""The public HTTP API as data: every request and answer, with its bounds. The documentation is made of it.

Requests are strict: unknown fields, other types, NaN and Infinity are refused; nothing is coerced. A field
that may be left out may also be null.
"""
