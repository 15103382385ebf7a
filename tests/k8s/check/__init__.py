"""What holds for every set of manifests: it renders, it fits the schemas, and the rules that no schema knows.

``python -m tests.k8s.check k8s/overlays/production`` looks at one folder; ``make k8s`` at all that there is.
"""
