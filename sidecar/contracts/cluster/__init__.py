"""A Redis or Valkey Cluster as if it were one server: clients that send each command to who owns its slot."""
