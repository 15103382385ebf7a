"""The small Open Bandit Dataset, imported as decisions with their logged propensities."""
