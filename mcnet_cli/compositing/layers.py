"""A photo in layers: people who move, and the plate behind them that stands still.

Made once a photo. The plate is the photo without those who move, filled in from around them. A front is one
person: what the photo shows besides the plate, so that both together are the photo while nothing moves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mcnet_cli.arrays import Picture
from mcnet_cli.compositing.front import REACH, Front, Person, Square, front_of
from mcnet_cli.compositing.plate import Floats, besides, over, times_alpha, without_people

# Matte above which neighbouring pixels belong to one person.
BELONGS = 0.3
# Width of the strip around people in which the plate is filled in too, as a share of the square's side.
PLATE_MARGIN = 0.02
# Share of the face's place that the matte has to call a person, and how much of the moving part may be
# neither person nor background, over what is wholly person. Otherwise nobody was found, in a drawing or an
# animal, and everything is one front, which the network moves as a whole. Of fifty pictures that count as
# found the haziest has 0.28; a dog has 2.1.
FOUND, HAZY = 0.5, 0.6


@dataclass(frozen=True, slots=True, eq=False)
class PhotoLayers:
    """A photo, ready to be put together anew for each frame.

    plate: (H, W, 3), the photo; where people can move, without them. Or what is shown in its place: another
        picture, or (H, W, 4) colours times alpha. What of people doesn't move is in it.
    fronts: the people, the smallest first. order: which person each front is, by their places.
    """

    plate: Picture
    fronts: tuple[Front, ...]
    order: tuple[int, ...]

    @property
    def is_transparent(self) -> bool:
        """Whether nothing is behind the people."""
        return bool(self.plate.shape[2] == 4)


def photo_layers(
    photo: Picture,
    people: Sequence[Person],
    size: int,
    *,
    moving: bool = False,
    backdrop: Picture | None = None,
) -> PhotoLayers:
    """Takes an (H, W, 3) photo apart.

    size: side of the network's pictures. moving: everything is front, so that the background moves as the
    network has it. backdrop: shown in place of the photo's background, (H, W, 3) or (H, W, 4) RGBA; then
    nobody is shown but the people that the mattes have.
    """
    order = sorted(range(len(people)), key=lambda number: people[number].square.width)
    mattes = [_alone(people, number) for number in range(len(people))]
    parts = [_moving_part(photo, person.square) for person in people]
    whole = [
        moving or not _is_found(person, matte, matte[part])
        for person, matte, part in zip(people, mattes, parts, strict=True)
    ]
    movable = np.zeros(photo.shape[:2], bool)
    for part, nobody in zip(parts, whole, strict=True):
        movable[part] |= not nobody
    shown = np.maximum.reduce(mattes)
    margin = max(_margin(photo, person.square) for person in people)
    plate = without_people(photo, shown, movable if backdrop is None else np.ones_like(movable), margin)
    fronts = [
        front_of(photo, plate, people[number], mattes[number], parts[number], size, whole=whole[number])
        for number in order
    ]
    if backdrop is not None:
        still = shown.copy()
        for part in parts:
            still[part] = 0
        plate = over(besides(photo, plate, still), times_alpha(backdrop))
    return PhotoLayers(plate, tuple(fronts), tuple(order))


def _margin(photo: Picture, square: Square) -> int:
    """Pixels around people in which the plate is filled in too."""
    return max(1, round(PLATE_MARGIN * min(square.width, float(max(photo.shape)))))


def _alone(people: Sequence[Person], number: int) -> Floats:
    """The matte of one person: what hangs together with the face, and isn't nearer to another's."""
    person = people[number]
    matte: Floats = person.matte.copy()
    _, labels = cv2.connectedComponents((matte > BELONGS).astype(np.uint8), connectivity=4)
    counts = np.bincount(labels[_face_place(person.square)].ravel(), minlength=1)
    counts[0] = 0
    own = (labels == counts.argmax()) if counts.any() else np.zeros_like(labels, bool)
    matte *= cv2.dilate(own.astype(np.uint8), np.ones((9, 9), np.uint8))
    if len(people) > 1:
        y, x = np.ogrid[: matte.shape[0], : matte.shape[1]]
        away = [
            np.hypot(x - other.square.centre[0], y - other.square.centre[1]) / other.square.width
            for other in people
        ]
        matte *= away[number] <= np.minimum.reduce(away)
    return matte


def _face_place(square: Square) -> tuple[slice, slice]:
    """Rows and columns of the middle of a square, where the face is."""
    top, bottom = square.y + 0.3 * square.height, square.y + 0.75 * square.height
    left, right = square.x + 0.3 * square.width, square.x + 0.7 * square.width
    rows = slice(max(0, math.floor(top)), max(1, math.ceil(bottom)))
    return rows, slice(max(0, math.floor(left)), max(1, math.ceil(right)))


def _is_found(person: Person, matte: Floats, part: Floats) -> bool:
    """Whether the matte can be relied on. part: of the matte, what can move."""
    place = matte[_face_place(person.square)]
    haze, solid = ((part > 0.1) & (part < 0.9)).sum(), (part >= 0.9).sum()
    return bool(place.size and place.mean() > FOUND and haze <= HAZY * solid)


def _moving_part(photo: Picture, square: Square) -> tuple[slice, slice]:
    """Rows and columns of a photo that a motion of the square can reach."""
    spans = []
    for middle, side, length in zip(
        square.centre, (square.width, square.height), photo.shape[1::-1], strict=True
    ):
        first = min(max(0, math.floor(middle - REACH * side / 2)), length - 1)
        spans.append(slice(first, max(first + 1, min(length, math.ceil(middle + REACH * side / 2)))))
    return spans[1], spans[0]
