"""What is checked of every request first: its host, the site that sends it, the password, its size."""

import asyncio
import base64
import binascii
import hmac
import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcnet_cli.web.errors import error_answer
from mcnet_cli.web.settings import MB, Limits

CHUNK_TIMEOUT_S = 30.0  # an upload that sends nothing for so long is given up
WRONG_PASSWORD_S = 1.0  # one wrong password is answered in so long, whoever else tries
MAX_WRONG_AT_ONCE = 10
HEADERS = {
    # Nothing is loaded from elsewhere, nothing in the page's text is a script, and no page frames this one.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware. Answers what isn't let through by itself, and bounds the bodies of the rest.

    - A `Host` that is a name, but neither this machine's nor one of `names`, is refused: another site's page
      could be given a name that points here (DNS rebinding), and would count as ours. Addresses can't.
    - Whatever another site's page sends is refused, by `Origin` and `Sec-Fetch-Site`.
    - With a password, everything needs it, by HTTP's basic authentication with any user's name.
    """

    def __init__(self, app: ASGIApp, *, names: Sequence[str], password: str | None, limits: Limits) -> None:
        self._app, self._password, self._limits = app, password, limits
        self._names = {"localhost", socket.gethostname().lower(), *map(str.lower, names)}
        self._wrong = asyncio.Semaphore(1)
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = await self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, self._bounded(receive), send_with_headers)

    async def _refusal(self, scope: Scope, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            return error_answer(
                421, 2, "this address isn't this server's", "use the address that mcnet web shows"
            )
        origin = headers.get("origin")
        if (origin is not None and urlsplit(origin).netloc != host) or (
            headers.get("sec-fetch-site") == "cross-site" and scope["method"] != "GET"
        ):
            return error_answer(403, 2, "another site's page may not use this server")
        if self._password is not None and not _has_password(headers, self._password):
            return await self._without_password(attempted="authorization" in headers)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._limits.upload_mb * MB:
            return error_answer(413, 2, self._too_large)
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return "@" not in host and (name in self._names or _is_address(name))

    async def _without_password(self, *, attempted: bool) -> JSONResponse:
        """Asks for the password; after a wrong one not before its time, so that guessing takes years."""
        if attempted:
            if self._waiting >= MAX_WRONG_AT_ONCE:
                return error_answer(429, 2, "too many wrong passwords")
            self._waiting += 1
            try:
                async with self._wrong:
                    await asyncio.sleep(WRONG_PASSWORD_S)
            finally:
                self._waiting -= 1
        answer = error_answer(401, 2, "this server wants a password")
        answer.headers["WWW-Authenticate"] = 'Basic realm="mcnet", charset="UTF-8"'
        return answer

    def _bounded(self, receive: Receive) -> Receive:
        """A body in chunks: HTTPException at the first byte too many, or when none comes any more."""
        left = self._limits.upload_mb * MB
        is_whole = False

        async def bounded() -> Message:
            nonlocal left, is_whole
            if is_whole:  # what is waited for now is that the visitor leaves
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), CHUNK_TIMEOUT_S)
            except TimeoutError as error:
                raise HTTPException(408, "the upload has stopped") from error
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, self._too_large)
            is_whole = not message.get("more_body", False)
            return message

        return bounded

    @property
    def _too_large(self) -> str:
        return f"the upload is too large: this server takes {self._limits.upload_mb} MB"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _has_password(headers: Headers, password: str) -> bool:
    kind, _, encoded = headers.get("authorization", "").partition(" ")
    try:
        text = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return False
    return kind.lower() == "basic" and hmac.compare_digest(text.partition(b":")[2], password.encode())
