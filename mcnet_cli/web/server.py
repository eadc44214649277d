"""Starts and ends the server. The page is there at once; torch is loaded meanwhile."""

import asyncio
import concurrent.futures
import contextlib
import importlib
import socket
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mcnet_cli.errors import Failure, UsageError, shown
from mcnet_cli.web.api import Api
from mcnet_cli.web.guard import Guard
from mcnet_cli.web.jobs import Queue
from mcnet_cli.web.options import Option
from mcnet_cli.web.settings import WebRequest
from mcnet_cli.web.storage import opened_storage

if TYPE_CHECKING:
    from mcnet_cli.web.studio import Studio

MAX_CONNECTIONS = 200
KEEP_ALIVE_S, GRACE_S = 10, 1
REQUEST_HEAD_S = 15.0  # in which a connection has to send a request whole, apart from its body
BACKLOG = 64


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that closes connections over which no whole request has come for `REQUEST_HEAD_S` seconds.

    Otherwise a few hundred of them, held open, would keep others out.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to look at the connection from time to time."""
        super().connection_made(transport)
        self.loop.call_later(REQUEST_HEAD_S, self._look, None)

    def _look(self, before: object) -> None:
        """before: the request and its answer that were the last ones at the look before this one."""
        if self.transport.is_closing():
            return
        if self.cycle is before and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()
        else:
            self.loop.call_later(REQUEST_HEAD_S, self._look, self.cycle)


class Server:
    """A server that is ready to run. address: what to type in a browser."""

    def __init__(
        self, guard: Guard, listener: socket.socket, loading: "concurrent.futures.Future[Studio]"
    ) -> None:
        self.address = _address_of(listener)
        self._listener, self._loading = listener, loading
        self._server = uvicorn.Server(
            uvicorn.Config(
                guard,
                http=ImpatientProtocol,
                log_config=None,
                access_log=False,  # addresses of files are secrets of their visitors
                server_header=False,
                proxy_headers=False,
                ws="none",
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        loading.add_done_callback(lambda done: self.stop() if done.exception() else None)

    def run(self) -> None:
        """Serves until `stop` is called or a signal comes, which is raised again at the end.

        Raises WeightsError and the like if the network can't be loaded, which ends the server.
        """
        self._server.run(sockets=[self._listener])
        if self._loading.done():
            self._loading.result()

    def stop(self) -> None:
        """Ends `run`, from any thread."""
        self._server.should_exit = True


@contextlib.contextmanager
def opened_server(
    request: WebRequest, options: tuple[Option, ...], explain: Callable[[BaseException], Failure]
) -> Iterator[Server]:
    """A server that listens, and all that it needs, which is cleaned up at the end.

    Args:
        request: where, for whom, and with which network.
        options: what visitors can choose, in the words of the command line.
        explain: says in words what went wrong with a job.

    Raises:
        UsageError: an address that can't be listened to.
        InputError: a password file without a password.
        SystemFailure: no folder for temporary files.
    """
    password = request.password()
    with (
        _listening(request) as listener,
        opened_storage(request.limits, request.folder) as storage,
        _temporary_files_in(str(storage.root)),
        Queue(request.limits, explain) as queue,
        concurrent.futures.ThreadPoolExecutor(1, "studio") as loader,
    ):
        loading = loader.submit(_load_studio, request)

        async def studio() -> "Studio":
            return await asyncio.wrap_future(loading)

        api = Api(storage, queue, studio, options, request.limits)
        names = [name for name in (request.host, request.public_name) if name is not None]
        guard = Guard(api.application(), names=names, password=password, limits=request.limits)
        yield Server(guard, listener, loading)


def serve(
    request: WebRequest,
    options: tuple[Option, ...],
    explain: Callable[[BaseException], Failure],
    say: Callable[[str], None],
) -> None:
    """Serves until a signal ends it. Arguments and errors as for `opened_server` and `Server.run`.

    say: shows a line to whoever started the server.
    """
    with opened_server(request, options, explain) as server:
        say(f"mcnet web: {server.address}")
        if not request.is_private:
            say(_warning(has_password=request.password_file is not None))
        say("Ctrl-C ends it.")
        server.run()


def _load_studio(request: WebRequest) -> "Studio":
    """Everything that needs torch, which takes seconds to load."""
    module = importlib.import_module("mcnet_cli.web.studio")
    studio: Studio = module.Studio(request)
    return studio


def _address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _warning(*, has_password: bool) -> str:
    who = "whoever knows the password" if has_password else "everybody on the network"
    lines = [
        f"warning: {who} can use this server, and what is sent is not encrypted.",
        "  Use it in networks alone that you trust, or put a server with HTTPS before it.",
    ]
    return "\n".join(lines if has_password else [*lines, "  --password-file FILE asks for a password."])


@contextlib.contextmanager
def _listening(request: WebRequest) -> Iterator[socket.socket]:
    """A socket on the request's address, which is closed at the end."""
    where = f"{shown(request.host)}, port {request.port}"
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            request.host, request.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {shown(request.host)}: is no address of this machine") from error
    with socket.socket(family, kind) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            raise UsageError(
                f"can't listen to {where}: {error.strerror}", hint="take another --port; 0 takes a free one"
            ) from error
        yield listener


@contextlib.contextmanager
def _temporary_files_in(folder: str) -> Iterator[None]:
    """While the block runs, temporary files of all libraries are made in this folder."""
    before = tempfile.tempdir
    tempfile.tempdir = folder
    try:
        yield
    finally:
        tempfile.tempdir = before
