"""A Python that has obp, in an environment of its own below ``build/``: it needs another numpy than ours."""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks.feature_graph.pythons import ROOT, environment, runs

_LOCK = ROOT / "requirements-obp.lock"
_HAS_IT = (
    "from importlib.util import find_spec; import pandas, sklearn, seaborn, pyarrow; assert find_spec('obp')"
)


def python_with_obp(tell: Callable[[str], None]) -> str:
    """That Python; ours, where obp cannot be installed: numpy then takes its steps."""
    python = environment(sys.executable, "obp", _LOCK, "obp and what it needs", tell, "--no-deps")
    return python if runs(python, _HAS_IT) else sys.executable
