"""What `mcnet web` is asked for: the options of the command."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.files import require_regular_file
from mcnet_cli.options import require_between
from mcnet_cli.web.limits import Limits

SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 1000


@dataclass(frozen=True, kw_only=True)
class WebRequest:
    """A server, and what it computes with. UsageError where the options make no sense.

    Args:
        host: the address that is listened to.
        port: 0 takes a free one.
        public_name: the name by which visitors reach a server with HTTPS that is before this one.
        password_file: a file whose first line visitors must know.
        weights, device, precision: as in `AnimationRequest`; the same for all visitors.
        limits: what one visitor may ask of the server.
        folder: where the folder for uploads and films is made; None: in the system's temporary folder.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    public_name: str | None = None
    password_file: Path | None = None
    weights: str | None = None
    device: str = "auto"
    precision: str = "auto"
    limits: Limits = field(default_factory=Limits)
    folder: Path | None = None

    def __post_init__(self) -> None:
        require_between("--port", self.port, 0, 65535)
        if not self.host:
            raise UsageError("--host: the address is empty", hint="0.0.0.0 stands for all addresses")

    @property
    def is_private(self) -> bool:
        """Whether no other machine can reach the server."""
        return is_loopback(self.host)

    def password(self) -> str | None:
        """The password, None if there is none. InputError for a file without one."""
        if self.password_file is None:
            return None
        name = shown(self.password_file)
        require_regular_file(self.password_file)
        try:
            with self.password_file.open(encoding="utf-8") as file:
                password = file.readline(LONGEST_PASSWORD + 1).rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(f"{name} is not a text in UTF-8") from error
        if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
            raise InputError(
                f"the first line of {name} is no password: {len(password)} characters",
                hint=f"take at least {SHORTEST_PASSWORD}",
            )
        return password


def is_loopback(host: str) -> bool:
    """Whether an address or a name stands for this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
