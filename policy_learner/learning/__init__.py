"""What an example teaches, the trainer that learns it, and how well that foresees what comes."""
