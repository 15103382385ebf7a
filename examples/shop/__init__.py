"""A shop of twenty products and simulated shoppers whose preferences are known."""
