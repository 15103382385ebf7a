"""``python -m tests.k8s.check [FOLDER…]``: look at the sets of this repository, or at folders of your own.

It needs ``kubectl`` to render them, and no cluster. ``--write`` writes what is committed as ``k8s/rendered``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from tests.k8s.check.rendered import write
from tests.k8s.check.rendering import CannotRender, kubectl
from tests.k8s.check.rules import RULES
from tests.k8s.check.schemas import RELEASES
from tests.k8s.check.sets import Set, every_set, own
from tests.k8s.check.verdict import verdict

_NO_KUBECTL = "no kubectl here, which renders the manifests"


def main(argv: Sequence[str] | None = None) -> int:
    """0 when all is well, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m tests.k8s.check", description=__doc__)
    parser.add_argument("folders", nargs="*", help="kustomizations of your own; none: all of this repository")
    parser.add_argument("--write", action="store_true", help="write k8s/rendered anew first")
    asked = parser.parse_args(argv)
    if kubectl() is None:
        print(f"{_NO_KUBECTL}: {'a failure where CI is set' if os.environ.get('CI') else 'nothing was done'}")
        return int(bool(os.environ.get("CI")))
    if asked.write:
        write()
    sets = own(asked.folders) if asked.folders else every_set()
    wrong = sum(_look(one) for one in sets)
    releases = f"Kubernetes {RELEASES[0]} to {RELEASES[-1]}, {len(RULES)} rules"
    print(f"{len(sets)} sets, {releases}: {f'{wrong} faults' if wrong else 'all hold'}")
    return int(wrong > 0)


def _look(one: Set) -> int:
    """Print what is wrong with a set; how much that is."""
    try:
        objects = one.render()
        faults = list(verdict(objects))
    except CannotRender as error:
        objects, faults = [], [f"does not render: {error}"]
    print(f"{'ok  ' if not faults else 'BAD '} {one.name}: {len(objects)} objects")
    for fault in faults:
        print(f"       {fault}")
    return len(faults)


if __name__ == "__main__":
    sys.exit(main())
