"""Counterfactual estimates over Parquet logs, with honest intervals."""
