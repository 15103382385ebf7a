"""A cluster without a cluster: what the rendered manifests say, done with local processes.

Containers are processes with exactly the environment, arguments, mounted files and probes of their manifest;
a pod is a folder with an address of its own on the loopback; a claim is a folder that outlives it. What a
container writes outside its volumes is refused where this machine lets us have mounts of our own, and found
and a failure elsewhere: its root is read-only in the cluster.
"""
