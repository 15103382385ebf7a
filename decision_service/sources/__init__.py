"""Where features come from: HTTP services, the store, files, and what is simply there.

Small adapters for the fetches of an application's ``features.py``. Each is opened in its ``clients()``,
handed into the graph as an input, and raises what the graph understands: a missing row is a ``KeyMissing``,
what may help again a ``TransientError``. None has retries, hedges or limits of its own: those are the
fetch's.

- ``http.open_http``: JSON services, the deadline handed down.
- ``store.open_feature_store``: tables that ``sidearm features load`` put into the store, read in batches
  across concurrent requests.
- ``table.open_table``: a Parquet or Arrow file in memory, read anew when it changes.
- ``constant.Fixed`` and ``constant.Called``: a mapping, a function.

Import what you use from its module: none drags the others' dependencies along.
"""
