"""Applications to learn from: a simulated shop, the imported fashion log, and the demo that runs both."""
