"""The console in a real browser. A package, so that its browser and its platforms end with it."""
