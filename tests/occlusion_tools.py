"""Things that pass before a face, painted over the frames of a clip."""

from collections.abc import Callable

import cv2

from mcnet_cli.arrays import Picture

Paint = Callable[[Picture, tuple[float, float], float], None]
SKIN, BLACK, WHITE, RED = (205, 150, 120), (30, 30, 34), (232, 230, 226), (120, 40, 48)
SHIFT = 4  # fractional bits of places, so that edges are smooth wherever things are


def hand(picture: Picture, place: tuple[float, float], size: float) -> None:
    """A hand, as high as `size` pixels, with its palm at (x, y)."""
    for aside, length in ((-0.19, 0.4), (-0.07, 0.5), (0.06, 0.5), (0.18, 0.42)):
        _bar(picture, place, (place[0] + size * aside * 1.4, place[1] - size * length), 0.1 * size, SKIN)
    _bar(picture, place, (place[0] + size * 0.34, place[1] - size * 0.14), 0.11 * size, SKIN)
    _bar(picture, place, (place[0], place[1] + size * 0.5), 0.28 * size, SKIN)
    _disk(picture, place, 0.24 * size, SKIN)


def microphone(picture: Picture, place: tuple[float, float], size: float) -> None:
    """A microphone whose ball is at (x, y), in a hand."""
    _bar(picture, place, (place[0], place[1] + size), 0.2 * size, BLACK)
    _disk(picture, place, 0.22 * size, (84, 84, 90))
    _bar(picture, (place[0], place[1] + 0.7 * size), (place[0], place[1] + size), 0.45 * size, SKIN)


def cup(picture: Picture, place: tuple[float, float], size: float) -> None:
    """A cup around (x, y), with a hand before it."""
    _bar(picture, (place[0], place[1] - 0.15 * size), (place[0], place[1] + 0.15 * size), 0.55 * size, RED)
    for row in (-0.12, 0.0, 0.12):
        left, right = (place[0] - 0.4 * size, place[0] + 0.2 * size)
        _bar(picture, (left, place[1] + row * size), (right, place[1] + row * size), 0.1 * size, SKIN)


def passing(
    frames: list[Picture], paint: Paint, place: tuple[float, float], size: float, stay: range
) -> list[Picture]:
    """The frames while something comes from below, is at (x, y) in the frames `stay`, and goes again."""
    painted = []
    for number, frame in enumerate(frames):
        away = max(stay.start - number, number - stay.stop + 1, 0) / 5
        picture = frame.copy()
        if away < 1:
            paint(picture, (place[0] + 0.5 * size * away, place[1] + 1.5 * size * away), size)
        painted.append(picture)
    return painted


def _bar(
    picture: Picture,
    start: tuple[float, float],
    end: tuple[float, float],
    width: float,
    colour: tuple[int, int, int],
) -> None:
    cv2.line(picture, _fixed(start), _fixed(end), colour, round(width), cv2.LINE_AA, SHIFT)


def _disk(picture: Picture, place: tuple[float, float], radius: float, colour: tuple[int, int, int]) -> None:
    cv2.circle(picture, _fixed(place), round(radius * 2**SHIFT), colour, -1, cv2.LINE_AA, SHIFT)


def _fixed(place: tuple[float, float]) -> tuple[int, int]:
    return round(place[0] * 2**SHIFT), round(place[1] * 2**SHIFT)
