"""The policy learner: joins decisions with late rewards, trains, gates, publishes, archives."""
