"""A real server of `mcnet web` in a thread, and plain requests to it."""

import contextlib
import http.client
import json
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mcnet_cli.cli._console import explain
from mcnet_cli.cli.animate import animate
from mcnet_cli.web import WebRequest, described
from mcnet_cli.web.server import opened_server

LONGEST_S = 60.0  # until a job of the tests has ended
# Random weights know no faces.
UNCROPPED = {"source-crop": "none", "driving-crop": "none"}


@contextlib.contextmanager
def running(folder: Path, **options: Any) -> Iterator["Client"]:
    """A server with its files in `folder`, on a free port, until the block is left."""
    given: dict[str, Any] = {"port": 0, "folder": folder, "device": "cpu", **options}
    request = WebRequest(**given)
    with opened_server(request, described(animate), explain) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield Client(server.address)
        finally:
            server.stop()
            thread.join()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def said(self) -> str:
        """What an error says."""
        return str(self.json["error"]["message"])


@dataclass(frozen=True)
class Client:
    """A program that uses the API."""

    address: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request, whose path is sent as it is."""
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=LONGEST_S)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host="Host" in (headers or {}))
            for name, value in {**self.headers, **(headers or {})}.items():
                connection.putheader(name, value)
            if body is not None and not {"Content-Length", "Transfer-Encoding"} & set(headers or ()):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())

    def post(self, path: str, fields: Mapping[str, "str | Path | tuple[str, bytes]"]) -> Answer:
        """A form; files are paths, or names with contents."""
        mark, parts = uuid.uuid4().hex.encode(), []
        for name, value in fields.items():
            head = f'Content-Disposition: form-data; name="{name}"'
            if isinstance(value, str):
                content = value.encode()
            else:
                called, content = value if isinstance(value, tuple) else (value.name, value.read_bytes())
                head += f'; filename="{called}"'
            parts.append(b"--" + mark + b"\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n")
        body = b"".join(parts) + b"--" + mark + b"--\r\n"
        kind = f"multipart/form-data; boundary={mark.decode()}"
        return self.ask("POST", path, body, {"Content-Type": kind})

    def session(self) -> str:
        """Opens a session; its id."""
        return str(self.ask("POST", "/sessions").json["id"])

    def ended(self, job: str) -> Any:
        """A job, when it has ended."""
        until = time.monotonic() + LONGEST_S
        while (now := self.ask("GET", f"/jobs/{job}").json)["state"] in ("queued", "running"):
            assert time.monotonic() < until, now
            time.sleep(0.02)
        return now
