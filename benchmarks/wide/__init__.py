"""The application of a wide graph: 32 fetches of 100 ms, four levels of eight."""
