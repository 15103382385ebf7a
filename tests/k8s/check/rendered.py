"""What is committed for a plain ``kubectl apply -f``: the overlays, rendered."""

from __future__ import annotations

from pathlib import Path

from tests.k8s.check.rendering import K8S, render_text

FOLDER = K8S / "rendered"
_HEAD = "# Written by `make k8s WRITE=1` from k8s/overlays/{name}; change it there.\n"


def files() -> dict[Path, str]:
    """Path and content of each, as it should be.

    Raises:
        CannotRender: an overlay does not.
    """
    overlays = sorted((K8S / "overlays").iterdir())
    return {
        FOLDER / f"{one.name}.yaml": _HEAD.format(name=one.name) + render_text(one)
        for one in overlays
        if one.is_dir()
    }


def write() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text)
