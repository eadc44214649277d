"""What one visitor may ask of a server: sizes of uploads, lengths of films, places in the queue."""

from dataclasses import dataclass

from mcnet_cli.errors import McnetError
from mcnet_cli.options import require_between

MB = 1 << 20
MOST_FRAMES_PER_S = 60  # of films; times `Limits.seconds`, it bounds how long one job can take
LONGEST_SIDE_PX = 1920  # of films


class TooMuch(McnetError):  # noqa: N818 - nobody's mistake: the server is busy or full
    """The server has no room for this at the moment; the same request may succeed later."""

    exit_code = 5


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
        return self.seconds * MOST_FRAMES_PER_S
