"""What the window shows: the result or the camera, a line of figures and the keys, drawn without a window."""

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mcnet_cli.arrays import Picture, resized
from mcnet_cli.live.outputs import fitted

LONGEST_PX, SHORTEST_PX = 720, 480  # bounds of the shown picture's longer side, and of its width
BAR_PX, LINE_PX, TEXT_PX, TITLE_PX, MARGIN_PX = 56, 22, 15, 24, 12
BAND_PX = 104  # of a message
INSET_SHARE = 0.28  # of the picture's width, for the driving
BAR, RULE, BRIGHT, DIM = (24, 26, 30), (58, 62, 70), (238, 240, 244), (150, 156, 166)
RED, GREEN, TRACK = (235, 70, 62), (96, 200, 130), (110, 114, 122)
SHADE = 0.3  # of the brightness behind a message
KEYS = (("c", "calibrate"), ("n", "next"), ("m", "mirror"), ("r", "record"), ("s", "camera"), ("q", "quit"))


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
    factor = min(LONGEST_PX / max(width, height), 1.0)
    factor = max(factor, SHORTEST_PX / width)
    factor = min(factor, LONGEST_PX / height)
    return max(SHORTEST_PX, round(width * factor)), round(height * factor)


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
