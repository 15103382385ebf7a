"""The sets of manifests that are looked at: overlays, each component alone, and those the README offers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.k8s.check.objects import Object
from tests.k8s.check.rendering import K8S, render, render_set

README = K8S / "README.md"
_ROW = re.compile(r"^\| `(?P<overlay>[a-z-]+)`(?P<more>(?: \+ `[a-z0-9-]+`)*) \|", re.MULTILINE)
_STORES = ("redis", "redis-cluster")


class Set(NamedTuple):
    """An overlay, or the base, with components on top."""

    name: str
    base: Path
    components: tuple[str, ...] = ()

    def render(self) -> list[Object]:
        """Its objects.

        Raises:
            CannotRender: kubectl says why.
        """
        return render_set(self.base, self.components) if self.components else render(self.base)


def every_set() -> list[Set]:
    """All of them, each once."""
    return [*_overlays(), *_components(), *offered()]


def _overlays() -> Iterator[Set]:
    for folder in sorted((K8S / "overlays").iterdir()):
        yield Set(f"overlays/{folder.name}", folder)


def _components() -> Iterator[Set]:
    """Each alone: a store on the base, which has none; the others on what runs by itself."""
    for folder in sorted((K8S / "components").iterdir()):
        base = K8S / "base" if folder.name in _STORES else K8S / "overlays" / "dev"
        yield Set(f"{base.name} + {folder.name}", base, (folder.name,))


def offered(text: str | None = None) -> list[Set]:
    """The rows of the README's table of sets.

    >>> [one.components for one in offered("| `production` + `keda` + `s3` | for … |")]
    [('keda', 's3')]
    """
    found = []
    for row in _ROW.finditer(README.read_text() if text is None else text):
        components = tuple(re.findall(r"`([a-z0-9-]+)`", row["more"]))
        if components:
            name = " + ".join([row["overlay"], *components])
            found.append(Set(name, K8S / "overlays" / row["overlay"], components))
    return found


def own(folders: Sequence[str]) -> list[Set]:
    """Folders of the caller's."""
    return [Set(folder, Path(folder)) for folder in folders]
