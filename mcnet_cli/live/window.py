"""The window and what it shows: the result or the camera, a line of figures, and the keys.

The window is OpenCV's (highgui). The main thread alone draws it and asks it for keys. What it shows is a
picture, which is composed without any window.
"""

import functools
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mcnet_cli.arrays import Picture, resized
from mcnet_cli.errors import SystemFailure
from mcnet_cli.live.outputs import fitted
from mcnet_cli.system import has_display

TITLE = "mcnet live"
ESCAPE = "\x1b"
MAX_SIDE_PX, MIN_WIDTH_PX = 720, 480  # bounds of the shown picture's longer side, and of its width
BAR_PX, LINE_PX, TEXT_PX, TITLE_PX, MARGIN_PX = 56, 22, 15, 24, 12
BAND_PX = 104  # of a message
INSET_SHARE = 0.28  # of the picture's width, for the driving
BAR, RULE, BRIGHT, DIM = (24, 26, 30), (58, 62, 70), (238, 240, 244), (150, 156, 166)
RED, GREEN, TRACK = (235, 70, 62), (96, 200, 130), (110, 114, 122)
SHADE = 0.3  # of the brightness behind a message
KEYS = (("c", "calibrate"), ("n", "next"), ("m", "mirror"), ("r", "record"), ("s", "camera"), ("q", "quit"))


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


@dataclass(frozen=True, slots=True)
class Message:
    """Two lines at the foot of the picture. share: of a bar below them that is full; None without one."""

    title: str
    text: str
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The line of figures. text: what it says. is_recording: whether a red dot and `clock` are shown."""

    text: str
    is_recording: bool = False
    clock: str = ""


def canvas_size(photo: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of the picture in the window, for a photo of (width, height)."""
    width, height = photo
    factor = min(MAX_SIDE_PX / max(width, height), 1.0)
    factor = max(factor, MIN_WIDTH_PX / width)
    factor = min(factor, MAX_SIDE_PX / height)
    return max(MIN_WIDTH_PX, round(width * factor)), round(height * factor)


def composed(
    picture: Picture,
    size: tuple[int, int],
    status: Status,
    *,
    inset: Picture | None = None,
    message: Message | None = None,
) -> Picture:
    """(height + 56, width, 3): a picture of any size, fitted into `size`, with a bar of text below.

    inset: shown small in the lower right corner. message: over the picture, which is darkened there.
    """
    width, height = size
    shown = fitted(picture, width, height)
    if inset is not None:
        shown = shown.copy() if shown is picture else shown
        _draw_inset(shown, inset)
    if message is not None:
        shown = _with_message(shown, message)
    return np.concatenate([shown, _bar(width, status)])


def _draw_inset(picture: Picture, inset: Picture) -> None:
    height, width = picture.shape[:2]
    columns = round(INSET_SHARE * width)
    rows = min(round(columns * inset.shape[0] / inset.shape[1]), height // 2)
    top, left = height - rows - MARGIN_PX, width - columns - MARGIN_PX
    picture[top - 2 : top + rows + 2, left - 2 : left + columns + 2] = BRIGHT
    picture[top : top + rows, left : left + columns] = resized(inset, columns, rows)


def _with_message(picture: Picture, message: Message) -> Picture:
    """The picture with a band across its lower part, so that faces stay in sight."""
    height, width = picture.shape[:2]
    top = height - min(BAND_PX, height)
    band = Image.fromarray((picture[top:] * SHADE).astype(np.uint8))
    draw = ImageDraw.Draw(band)
    draw.text((width / 2, 28), message.title, BRIGHT, _font(TITLE_PX), anchor="mm")
    draw.text((width / 2, 58), message.text, BRIGHT, _font(TEXT_PX), anchor="mm")
    if message.share is not None:
        left, right = width * 0.25, width * 0.75
        draw.rounded_rectangle((left, 78, right, 84), 3, TRACK)
        if message.share > 0.02:  # less is no wider than its rounded ends
            draw.rounded_rectangle((left, 78, left + (right - left) * message.share, 84), 3, GREEN)
    return np.concatenate([picture[:top], np.asarray(band)])


@functools.lru_cache(maxsize=8)
def _bar(width: int, status: Status) -> Picture:
    """(56, width, 3) the two lines of text."""
    image = Image.new("RGB", (width, BAR_PX), BAR)
    draw = ImageDraw.Draw(image)
    draw.line((0, 0, width, 0), RULE)
    first, second = BAR_PX / 2 - LINE_PX / 2, BAR_PX / 2 + LINE_PX / 2
    draw.text((MARGIN_PX, first), status.text, BRIGHT, _font(TEXT_PX), anchor="lm")
    if status.is_recording:
        right = width - MARGIN_PX
        draw.text((right, first), status.clock, BRIGHT, _font(TEXT_PX), anchor="rm")
        dot = right - draw.textlength(status.clock, _font(TEXT_PX)) - 14
        draw.ellipse((dot - 5, first - 5, dot + 5, first + 5), RED)
    x = float(MARGIN_PX)
    for key, what in KEYS:
        draw.text((x, second), key, BRIGHT, _font(TEXT_PX), anchor="lm")
        x += draw.textlength(key, _font(TEXT_PX)) + 5
        draw.text((x, second), what, DIM, _font(TEXT_PX), anchor="lm")
        x += draw.textlength(what, _font(TEXT_PX)) + 13
    return np.asarray(image)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
