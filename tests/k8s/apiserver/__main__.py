"""``python -m tests.k8s.apiserver``: until interrupted."""

from __future__ import annotations

import argparse

from tests.k8s.apiserver.cluster import Cluster
from tests.k8s.apiserver.server import Server, now


def main() -> None:
    """Serve one empty cluster."""
    parser = argparse.ArgumentParser(description="A stand-in Kubernetes API server for kubectl.")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--release", default="1.33", help="whose schemas validate: 1.30 to 1.37")
    parser.add_argument("--plain", action="store_true", help="no aggregated discovery")
    options = parser.parse_args()
    with Server(Cluster(options.release, now), port=options.port, aggregated=not options.plain) as server:
        print(f"kubectl --server {server.url} api-resources", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
