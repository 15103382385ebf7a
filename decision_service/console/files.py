"""The console's own files: a fixed list, read from the package, with the policy that no other script runs.

What is not on the list does not exist, so no path leads out of it.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from msgspec import Struct

from decision_service.asgi import header_of
from decision_service.errors import NotFound
from decision_service.problem import HttpAnswer

POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
GUARDS = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Headers of everything that the console answers."""
_INDEX = "index.html"
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "md": "text/plain; charset=utf-8",
    "txt": "text/plain; charset=utf-8",
}
_LICENCE = "text/plain; charset=utf-8"
_WORTH_PACKING = 1024


class Page(Struct, frozen=True):
    """A file, ready to be sent."""

    body: bytes
    packed: bytes
    """The same by gzip; empty where that is not worth it."""
    etag: str
    media_type: str


class Files:
    """All files below a folder, read when they are first asked for."""

    def __init__(self, root: Traversable | None = None) -> None:
        self._paths = dict(_below(root or files("decision_service.console") / "static", ""))
        self._pages: dict[str, Page] = {}

    def answer(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> HttpAnswer:
        """The file at ``path``, empty for the page itself; 304 to who has it already.

        Raises:
            NotFound: there is none.
        """
        page = self._page(path or _INDEX)
        kept = (b"etag", page.etag.encode()), (b"cache-control", b"no-cache"), (b"vary", b"accept-encoding")
        head = (*kept, *GUARDS)
        if page.etag in header_of(headers, b"if-none-match"):
            return HttpAnswer(304, b"", head, page.media_type)
        if page.packed and "gzip" in header_of(headers, b"accept-encoding"):
            return HttpAnswer(200, page.packed, (*head, (b"content-encoding", b"gzip")), page.media_type)
        return HttpAnswer(200, page.body, head, page.media_type)

    def _page(self, path: str) -> Page:
        if path not in self._paths:
            raise NotFound("the console has no such file")
        if path not in self._pages:
            self._pages[path] = _read(path, self._paths[path])
        return self._pages[path]


def _read(path: str, file: Traversable) -> Page:
    body = file.read_bytes()
    packed = gzip.compress(body, 6, mtime=0) if len(body) >= _WORTH_PACKING else b""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return Page(body, packed, etag, _TYPES.get(path.rpartition(".")[2], _LICENCE))


def _below(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for one in folder.iterdir():
        if one.is_dir():
            yield from _below(one, f"{path}{one.name}/")
        else:
            yield path + one.name, one
