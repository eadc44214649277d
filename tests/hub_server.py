"""A hub on this machine: it speaks as much of the real one's protocol as huggingface_hub asks for."""

import contextlib
import hashlib
import http.server
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_ADDRESS = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class HubFileStub:
    """A file on the hub.

    announced: the sha256 that the hub tells for it, by default the true one. cuts: connections that break
    after half of what is left. refuse: a status and an `X-Error-Code` instead. elsewhere: a server to
    redirect to. page: answers as a server that is no hub.
    """

    content: bytes
    announced: str | None = None
    cuts: int = 0
    refuse: tuple[int, str] | None = None
    elsewhere: str | None = None
    page: bool = False


@dataclass
class Hub:
    """The server.

    files: by `OWNER/REPO/FILE`. requests: method, path and Range. tokens: the Authorization headers.
    """

    files: dict[str, HubFileStub] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    commit: str = COMMIT
    before_body: Callable[[], None] = lambda: None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, name: str, content: bytes, **options: object) -> HubFileStub:
        self.files[name] = HubFileStub(content, **options)  # type: ignore[arg-type]
        return self.files[name]

    @property
    def bodies(self) -> list[str | None]:
        """The Range of each request for a file's content."""
        return [asked for method, path, asked in self.requests if method == "GET" and "/resolve/" in path]


@contextlib.contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub until the block is left."""
    hub = Hub()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None: ...

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            asked = self.headers.get("Range")
            hub.requests.append((self.command, self.path, asked))
            hub.tokens.append(self.headers.get("Authorization"))
            match = _ADDRESS.fullmatch(self.path)
            stub = hub.files.get(f"{match[1]}/{match[3]}") if match else None
            if stub is None:
                self.end(
                    404,
                    {"X-Error-Code": "EntryNotFound" if self.repository_exists(match) else "RepoNotFound"},
                )
            elif stub.refuse:
                self.end(stub.refuse[0], {"X-Error-Code": stub.refuse[1]} if stub.refuse[1] else {})
            elif stub.page:
                self.end(200, {"Content-Type": "text/html"}, b"<html>log in first</html>", body)
            elif stub.elsewhere:
                about = {
                    "X-Linked-Etag": f'"{hashlib.sha256(stub.content).hexdigest()}"',
                    "X-Linked-Size": str(len(stub.content)),
                    "X-Repo-Commit": hub.commit,
                }
                self.end(302, {"Location": stub.elsewhere + self.path, **about})
            else:
                self.send_file(stub, asked, body)

        def repository_exists(self, match: re.Match[str] | None) -> bool:
            return match is not None and any(name.startswith(f"{match[1]}/") for name in hub.files)

        def end(self, status: int, headers: dict[str, str], content: bytes = b"", body: bool = False) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def send_file(self, stub: HubFileStub, asked: str | None, body: bool) -> None:
            start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
            size = len(stub.content)
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            self.send_header("Content-Length", str(size - start))
            self.send_header("ETag", f'"{stub.announced or hashlib.sha256(stub.content).hexdigest()}"')
            self.send_header("X-Repo-Commit", hub.commit)
            self.end_headers()
            if not body:
                return
            hub.before_body()
            if stub.cuts:
                stub.cuts -= 1
                self.wfile.write(stub.content[start : start + (size - start) // 2])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
            else:
                self.wfile.write(stub.content[start:])

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # a client that was killed
                super().handle()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        hub.port = server.server_port
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield hub
        server.shutdown()
