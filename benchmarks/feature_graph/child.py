"""``python -m benchmarks.feature_graph.child B3 uvloop``: measure one gate, a JSON line a figure."""

from __future__ import annotations

import asyncio
import json
import sys

from benchmarks.feature_graph.gates import load


def main() -> None:
    """Run the gate on the loop."""
    gate, loop = sys.argv[1:]
    run = asyncio.run
    if loop == "uvloop":
        import uvloop

        run = uvloop.run
    for each in run(load(gate)()):
        print(json.dumps(each._asdict()), flush=True)


if __name__ == "__main__":
    main()
