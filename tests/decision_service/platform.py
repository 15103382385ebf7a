"""One application with its real store, sidecar and service, spoken to over real HTTP."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import redis

from decision_service.auth import ensure_development_key
from decision_service.cli.store import EmbeddedStore, start_store
from sidecar.contracts.layout import DataFolder
from tests.faults.proxy import Proxy
from tests.processes import Process, Processes

ARMS = [
    {"id": "sku-1", "features": {"price": 1.0, "kind": "shoe"}},
    {"id": "sku-2", "features": {"price": 2.0, "kind": "hat"}},
    {"id": "a/b %2F", "features": {"price": 3.0}},
    {"id": "777"},
]

APP = """
name = "bench"
partitions = 2
{top}
[reward]
horizon_s = 3600.0
aggregation = "{aggregation}"
mode = "{mode}"
events = {{ view = 0.0, purchase = 1.0, refund = -1.0 }}
minimum = -10.0
maximum = 10.0
max_per_decision = 4
{reward}
{sections}
[decision_service]
port = 0
deadline_ms = 2000
score_timeout_ms = 1500
"""


class Platform:
    """The processes of one application, and a client with every role."""

    def __init__(self, folder: Path, processes: Processes, store: EmbeddedStore, environ: dict[str, str]):
        self.folder = folder
        self.data = DataFolder(folder / "data")
        self.store_server = store
        self.store = redis.Redis.from_url(store.url)
        self.key = ensure_development_key(self.data.keys, {})
        self._processes = processes
        self.environ = environ
        self.proxy: Proxy
        self.sidecar: Process | None = None
        self.service: Process | None = None
        self.url = ""
        self.client: httpx.Client

    def start_sidecar(self) -> Process:
        self.sidecar = self.start_of("sidecar.server")
        self.sidecar.wait_until(lambda: sidecar_get(self, "/readyz")[0] == 200)
        return self.sidecar

    def start_service(self) -> Process:
        self.service = self.start_of("decision_service")
        self.service.wait_until(self._listens)
        self.client = httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {self.key}"}, timeout=30.0
        )
        self.service.wait_until(lambda: self.client.get("/readyz").status_code == 200)
        return self.service

    def recommend(self, **fields: Any) -> httpx.Response:
        return self.client.post("/v1/recommendations", json={"session_id": "s-42", **fields})

    def reward(self, headers: Mapping[str, str] | None = None, **fields: Any) -> httpx.Response:
        return self.client.post("/v1/rewards", json=fields, headers=headers)

    def decision(self, decision_id: str) -> dict[str, Any]:
        return self.client.get(f"/v1/decisions/{decision_id}").raise_for_status().json()

    def alive(self) -> bool:
        return self.client.get("/livez").status_code == 200

    def start_of(self, module: str, *through: str) -> Process:
        """One more process of the application; ``through``: a module that starts it, with its name."""
        first, *names = (*through, module)
        arguments = (*names, "--app", self.folder, "--data", self.data.root)
        return self._processes.start(first, *arguments, environ=self.environ)

    def _listens(self) -> str:
        """Port 0 was asked for: the log tells which it became."""
        output = self.service.output() if self.service else ""
        found = re.search(r"http://[^\s\"]+", output)
        self.url = found[0] if found else ""
        return self.url


def sidecar_get(platform: Platform, path: str) -> tuple[int, str]:
    """Status and text from the sidecar's own HTTP, over its socket; 0 when nobody listens."""
    return ask_sidecar(platform.data.sidecar_socket("bench"), "GET", path)[:2]


def ask_sidecar(
    path: Path, method: str, target: str, body: bytes | Iterable[bytes] | None = None
) -> tuple[int, str, bytes]:
    """One exchange over a Unix socket: status, text, bytes; status 0 when nobody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
        connected.settimeout(10.0)
        connection = http.client.HTTPConnection("sidecar")
        connection.sock = connected
        try:
            connected.connect(str(path))
            connection.request(method, target, body, encode_chunked=not isinstance(body, bytes | None))
            with connection.getresponse() as response:
                content = response.read()
                return response.status, content.decode(errors="replace"), content
        except OSError:
            return 0, "", b""
        finally:
            connection.close()


@contextmanager
def platform(
    *,
    sidecar: bool = True,
    aggregation: str = "max",
    mode: str = "wait",
    top: str = "",
    reward: str = "",
    sections: str = "",
    files: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    proxied: bool = False,
    name: str = "bench",
) -> Iterator[Platform]:
    """A platform of its own, gone after the block.

    Args:
        sidecar: start it.
        aggregation: of rewards.
        mode: of the join.
        top: more lines for the top of ``app.toml``.
        reward: more lines for its section ``[reward]``.
        sections: more sections of it.
        files: further files of the application.
        environ: further environment of the processes.
        proxied: the processes reach the store through ``proxy``, which loses, delays and holds back.
        name: of the application.
    """
    folder = Path(tempfile.mkdtemp(prefix="sidearm-", dir="/tmp"))
    toml = APP.format(top=top, aggregation=aggregation, mode=mode, reward=reward, sections=sections)
    (folder / "app.toml").write_text(toml.replace('"bench"', f'"{name}"', 1))
    (folder / "arms.json").write_text(json.dumps(ARMS))
    for file, text in (files or {}).items():
        (folder / file).write_text(text)
    processes = Processes(folder)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        store = stack.enter_context(start_store(DataFolder(folder / "data")))
        stack.callback(processes.stop_all)
        made = Platform(folder, processes, store, dict(environ or {}))
        if proxied:
            made.proxy = Proxy(folder / "proxy.sock", made.data.store_socket(), seed=1)
            stack.callback(made.proxy.close)
            made.environ["REDIS_URL"] = made.proxy.url
        stack.callback(made.store.close)
        if sidecar:
            made.start_sidecar()
        made.start_service()
        stack.callback(lambda: made.client.close())
        yield made


@contextmanager
def another(shop: Platform, *through: str) -> Iterator[httpx.Client]:
    """A second service of the same application, on the same store."""
    service = shop.start_of("decision_service", *through)

    def url() -> str:
        return next((word for word in service.output().split() if word.startswith("http://")), "")

    service.wait_until(url)
    headers = {"authorization": f"Bearer {shop.key}"}
    with httpx.Client(base_url=url(), headers=headers, timeout=30.0) as client:
        service.wait_until(lambda: client.get("/readyz").status_code == 200)
        yield client
    service.stop()
