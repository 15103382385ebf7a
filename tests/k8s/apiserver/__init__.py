"""A stand-in for the Kubernetes API server, for the real ``kubectl`` to talk to where there is no cluster.

It keeps objects in memory and does what ``kubectl apply --server-side``, ``diff``, ``get``, ``wait`` and
``delete`` rely on: discovery (aggregated and plain), OpenAPI v3 as far as kubectl reads it, strict field
validation against the schemas of a Kubernetes release, namespaces, field managers and their conflicts, custom
resources by their definitions, lists, watches, dry runs and finalizers. There is nothing behind it: no
controller, no scheduler, no defaults, no admission.

By hand: ``python -m tests.k8s.apiserver --port 8001``, then ``kubectl --server http://127.0.0.1:8001 …``.
"""
