"""The window, by OpenCV's highgui: one for the whole session, drawn and asked for keys by the main thread."""

from types import TracebackType
from typing import Self

import cv2

from mcnet_cli.arrays import Picture
from mcnet_cli.errors import SystemFailure
from mcnet_cli.system import has_display

TITLE = "mcnet live"
ESCAPE = "\x1b"


def require_display() -> None:
    """SystemFailure without a display. OpenCV's Qt would end the whole process there."""
    if not has_display():
        raise no_window(is_headless=False)


def no_window(*, is_headless: bool) -> SystemFailure:
    """Why there is no window: OpenCV was built without any, or there is no display."""
    instead = "without a window: -o FILE writes a film, --virtual-camera feeds other programs"
    if is_headless:
        return SystemFailure(
            "this OpenCV has no windows (opencv-python-headless)", hint=f"install opencv-python; {instead}"
        )
    return SystemFailure("there is no display to open a window on", hint=instead)


class Window:
    """Shows pictures and tells which keys were pressed. SystemFailure if it can't be opened."""

    def __init__(self) -> None:
        self._size: tuple[int, ...] | None = None
        require_display()
        try:
            cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        except cv2.error as error:
            raise no_window(is_headless="not implemented" in str(error)) from error

    def show(self, picture: Picture) -> None:
        """Shows an (H, W, 3) RGB picture; one of another size changes the window's."""
        if picture.shape != self._size:
            self._size = picture.shape
            cv2.resizeWindow(TITLE, picture.shape[1], picture.shape[0])
        cv2.imshow(TITLE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def key(self) -> str:
        """What was pressed since the last call, in small letters; `q` if the window was closed, else empty.

        The window is drawn in here.
        """
        code = cv2.pollKey()
        if cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
            return "q"
        key = "" if code < 0 else chr(code & 0xFF).lower()
        return "q" if key == ESCAPE else key

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        cv2.destroyAllWindows()
