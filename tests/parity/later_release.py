"""``python -m tests.parity.later_release <module> …``: a process as the next release might start it.

Every structure that travels between processes by position has one more field there, with something in it.
Only calibrations have not: replay compares records of weights byte for byte.
"""

from __future__ import annotations

import ast
import runpy
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

MODULE = __name__
_CONTRACTS, _AS_IT_WAS = "sidecar.contracts.", "sidecar.contracts.calibration"
_FIELD = 'of_the_next_release: tuple[str, ...] = ("n", "plus", "1")'


class _Later(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path), path)
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and "array_like" in [word.arg for word in node.keywords]:
                node.body += ast.parse(_FIELD).body
        return compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(_CONTRACTS) or fullname == _AS_IT_WAS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None and spec.submodule_search_locations is None:
            spec.loader = _Later(fullname, spec.origin)
        return spec


if __name__ == "__main__":
    sys.meta_path.insert(0, _Finder())
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
