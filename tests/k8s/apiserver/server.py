"""HTTP around the cluster: paths and parameters in, JSON out, a watch as lines."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.k8s.apiserver import discovery
from tests.k8s.apiserver.cluster import Cluster, Target, Writing, find_kind
from tests.k8s.apiserver.objects import Item, fields_selected, labels_selected
from tests.k8s.apiserver.problems import Refused, no_path

APPLY_PATCH = "application/apply-patch+yaml"
JSON = "application/json"
WATCH_S = 30.0
"""The longest watch; a client that wants more asks again."""


class Server(ThreadingHTTPServer):
    """Listens on the loopback; what it was asked stays in ``asked``."""

    daemon_threads = True

    def __init__(self, cluster: Cluster, *, port: int = 0, aggregated: bool = True) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.cluster = cluster
        self.aggregated = aggregated
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        """For ``kubectl --server``."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running(release: str = "1.33", *, aggregated: bool = True) -> Iterator[Server]:
    """A server of its own, gone at the end."""
    with Server(Cluster(release, now), aggregated=aggregated) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def now() -> str:
    """As the API writes times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """Discovery, one object, a list, or a watch."""
        self._answer(self._look)

    def do_POST(self) -> None:
        """Create."""
        self._answer(self._create)

    def do_PATCH(self) -> None:
        """Server-side apply."""
        self._answer(self._apply)

    def do_DELETE(self) -> None:
        """Delete."""
        self._answer(self._delete)

    def log_message(self, format: str, *args: Any) -> None:
        """Kept for whoever asks, not printed."""
        self.server.asked.append(format % args)

    def _answer(self, act: Any) -> None:
        url = urlsplit(self.path)
        self.parts = [p for p in url.path.split("/") if p]
        self.query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        try:
            with self.server.cluster.objects.changed:
                answer = act()
            if answer is not None:
                self._send(200, answer)
        except Refused as refused:
            self._send(refused.code, refused.status)
        except Exception as error:  # a fault of this server: said where it is seen, in kubectl's own words
            self._send(500, Refused(500, "InternalError", f"the stand-in: {error!r}").status)

    def _look(self) -> Item | None:
        if self.parts == ["openapi", "v2"]:
            self._send_bytes(200, discovery.OPENAPI_V2, "application/octet-stream")
            return None
        if (found := self._discovered()) is not None:
            return found
        target = self._target()
        try:
            return self._seen(target)
        finally:
            self.server.cluster.drain()

    def _seen(self, target: Target) -> Item | None:
        if target.name:
            return self.server.cluster.get(target)
        if self.query.get("watch") in ("1", "true"):
            self._watch(target)
            return None
        items = [i for i in self.server.cluster.objects.list(target.kind, target.namespace) if self._wants(i)]
        revision = str(self.server.cluster.objects.revision)
        kind, version = f"{target.kind.kind}List", target.kind.api_version
        return {
            "kind": kind,
            "apiVersion": version,
            "metadata": {"resourceVersion": revision},
            "items": items,
        }

    def _create(self) -> Item:
        return self.server.cluster.create(self._target(), self._body(), self._writing())

    def _apply(self) -> Item:
        return self.server.cluster.apply(self._target(), self._body(), self._writing())

    def _delete(self) -> Item:
        body = self._body()
        dry_run = bool(self.query.get("dryRun") or body.get("dryRun"))
        return self.server.cluster.delete(self._target(), dry_run=dry_run)

    def _discovered(self) -> Item | None:
        """The answer to a path of discovery; None for objects."""
        kinds, release = self.server.cluster.kinds(), self.server.cluster.release
        match self.parts:
            case ["version"]:
                major, minor = release.split(".")
                return {"major": major, "minor": minor, "gitVersion": f"v{release}.0", "platform": "none"}
            case ["api"] | ["apis"] if self._wants_aggregated():
                return discovery.aggregated(kinds, core=self.parts == ["api"])
            case ["api"]:
                return discovery.core_versions()
            case ["apis"]:
                return discovery.group_list(kinds)
            case ["api", version]:
                return discovery.resource_list(kinds, version)
            case ["apis", group, version]:
                return discovery.resource_list(kinds, f"{group}/{version}")
            case ["openapi", "v3"]:
                return discovery.openapi_index(kinds)
            case ["openapi", "v3", "api" | "apis", *version]:
                return discovery.openapi(kinds, "/".join(version))
        return None

    def _target(self) -> Target:
        """What the path names: [namespaces/…/]plural[/name]."""
        match self.parts:
            case ["api", version, *rest]:
                api_version = version
            case ["apis", group, version, *rest]:
                api_version = f"{group}/{version}"
            case _:
                raise no_path(self.path)
        namespace = ""
        if len(rest) >= 3 and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        if len(rest) not in (1, 2):
            raise no_path(self.path)
        kind = find_kind(self.server.cluster.kinds(), api_version, rest[0])
        return Target(kind, namespace, rest[1] if len(rest) == 2 else "")

    def _writing(self) -> Writing:
        manager = self.query.get("fieldManager") or self.headers.get("User-Agent", "unknown").split("/")[0]
        validation, force = self.query.get("fieldValidation", "Warn"), self.query.get("force") == "true"
        return Writing(manager, validation, "dryRun" in self.query, force)

    def _watch(self, target: Target) -> None:
        """Changes as lines, from the revision that the client has seen."""
        objects, seen = self.server.cluster.objects, int(self.query.get("resourceVersion") or 0)
        self.server.cluster.drain()
        objects.changed.release()  # the lock of the request: others go on while this one waits
        try:
            self._begin(200, {"Transfer-Encoding": "chunked"})
            for event in objects.events(seen, min(WATCH_S, float(self.query.get("timeoutSeconds", WATCH_S)))):
                mine = event.address[0] == target.kind.resource and target.namespace in ("", event.address[1])
                if mine and self._wants(event.item):
                    self._chunk({"type": event.type, "object": event.item})
            self.wfile.write(b"0\r\n\r\n")
        finally:
            objects.changed.acquire()

    def _wants(self, item: Item) -> bool:
        fields, labels = self.query.get("fieldSelector", ""), self.query.get("labelSelector", "")
        return fields_selected(fields, item) and labels_selected(labels, item)

    def _wants_aggregated(self) -> bool:
        return self.server.aggregated and "as=APIGroupDiscoveryList" in self.headers.get("Accept", "")

    def _body(self) -> Item:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        given, wanted = (
            self.headers.get("Content-Type", JSON),
            APPLY_PATCH if self.command == "PATCH" else JSON,
        )
        if text and given != wanted:
            raise Refused(
                415, "UnsupportedMediaType", f"{given}: only {wanted} here: use apply --server-side"
            )
        try:
            return yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            raise Refused(400, "BadRequest", f"the body is no YAML: {error}") from None

    def _send(self, code: int, answer: Item) -> None:
        is_list = answer.get("kind") == "APIGroupDiscoveryList"
        self._send_bytes(code, json.dumps(answer).encode(), discovery.AGGREGATED if is_list else JSON)

    def _send_bytes(self, code: int, body: bytes, content_type: str) -> None:
        self._begin(code, {"Content-Type": content_type, "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _begin(self, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _chunk(self, line: Item) -> None:
        data = json.dumps(line).encode() + b"\n"
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()
