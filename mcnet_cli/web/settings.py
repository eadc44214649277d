"""The options of `mcnet web`: where it listens, who may come in, and what one visitor may ask of it."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.files import require_regular_file
from mcnet_cli.options import require_between

MB = 1 << 20
MAX_FRAMES_PER_S = 60  # of films; times `Limits.seconds`, it bounds how long one job can take
MAX_SIDE_PX = 1920  # of films
MIN_PASSWORD_CHARS, MAX_PASSWORD_CHARS = 8, 1000


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a server accepts. UsageError for numbers that make no sense.

    Args:
        upload_mb: the size of one request with all its files.
        megapixels: of a photo, and of a video's frame.
        seconds: of the driving's part that is used.
        queue: jobs that wait or run, of all visitors.
        disk_mb: all uploads and films that are kept at a time.
        keep_minutes: how long the files of a visitor who has left are kept.
    """

    upload_mb: int = 200
    megapixels: int = 40
    seconds: int = 60
    queue: int = 20
    disk_mb: int = 4000
    keep_minutes: int = 15

    def __post_init__(self) -> None:
        require_between("--max-upload", self.upload_mb, 1, 100_000)
        require_between("--max-megapixels", self.megapixels, 1, 128)
        require_between("--max-seconds", self.seconds, 1, 86_400)
        require_between("--max-queue", self.queue, 1, 10_000)
        require_between("--max-disk", self.disk_mb, self.upload_mb, None)
        require_between("--keep", self.keep_minutes, 1, 1440)

    @property
    def frames(self) -> int:
        """Frames of a film."""
        return self.seconds * MAX_FRAMES_PER_S


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
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def password(self) -> str | None:
        """The password, None if there is none. InputError for a file without one."""
        if self.password_file is None:
            return None
        name = shown(self.password_file)
        require_regular_file(self.password_file)
        try:
            with self.password_file.open(encoding="utf-8") as file:
                password = file.readline(MAX_PASSWORD_CHARS + 1).rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise InputError(f"{name} is not a text in UTF-8") from error
        if not MIN_PASSWORD_CHARS <= len(password) <= MAX_PASSWORD_CHARS:
            raise InputError(
                f"the first line of {name} is no password: {len(password)} characters",
                hint=f"take at least {MIN_PASSWORD_CHARS}",
            )
        return password
