"""Faces as people really have them, and what becomes of each: a table of what was tried."""

from functools import cache
from itertools import islice

import cv2
import numpy as np
import pytest
from costume_tools import (
    Costume,
    face_paint,
    full_beard,
    hat_and_scarf,
    medical_mask,
    niqab,
    sunglasses,
    sunglasses_and_mask,
    thin_veil,
    tiger,
)
from face_tools import animator, portrait, portrait_face
from places import EXAMPLES

from mcnet_cli import Controls, Transfer
from mcnet_cli.arrays import Picture
from mcnet_cli.face import LID_OPENINGS, MOUTH_OPENING, Landmarks, opening
from mcnet_cli.face.topology import OUTER_EYE_CORNERS
from mcnet_cli.media import open_frames
from mcnet_cli.motion import Motion

FRAMES, EVERY = 6, 10  # of the example's driving

# What is worn, and whether mouth and eyes of a driving that wears it are followed. What is hidden has to
# rest; None: it is followed by less than is there.
WORN: dict[str, tuple[Costume, bool | None, bool | None]] = {
    "a mask": (medical_mask, False, True),
    "sunglasses": (sunglasses, True, False),
    "a niqab": (niqab, False, True),
    "a veil of net": (thin_veil, None, None),
    "a full beard": (full_beard, None, True),
    "a clown's paint": (face_paint, True, False),
    "a hat and a scarf": (hat_and_scarf, True, True),
}


@cache
def talking() -> tuple[list[Picture], list[Landmarks]]:
    """Frames of the example's driving, and its face in each."""
    with open_frames(EXAMPLES / "driving.mp4") as frames:
        pictures = list(islice(frames, 0, FRAMES * EVERY, EVERY))
    return pictures, followed(pictures)


def followed(pictures: list[Picture], which: int = 0) -> list[Landmarks]:
    tracker = animator().finder.tracker(which)
    found = [tracker(picture) for picture in pictures]
    assert all(face is not None for face in found)
    return [face for face in found if face is not None]


def openings(faces: list[Landmarks], pairs: tuple[tuple[int, int], ...]) -> np.ndarray:
    return opening(np.stack([face.points for face in faces]), pairs)


def astray(found: Landmarks, expected: np.ndarray) -> float:
    """Mean distance of landmarks, in distances of the eyes' outer corners."""
    left, right = expected[list(OUTER_EYE_CORNERS)]
    return float(np.linalg.norm(found.points - expected, axis=1).mean() / np.linalg.norm(left - right))


@pytest.mark.parametrize("worn", [*WORN, "a tiger's paint"])
def test_a_portrait_may_wear(worn: str) -> None:
    costume = tiger if worn not in WORN else WORN[worn][0]
    (face,) = animator().finder.faces(costume(portrait(), portrait_face().points))
    assert astray(face, portrait_face().points) < 0.15


@pytest.mark.parametrize("worn", WORN)
def test_a_driving_may_wear(worn: str) -> None:
    costume, *follows = WORN[worn]
    pictures, faces = talking()
    dressed = followed([costume(p, face.points) for p, face in zip(pictures, faces, strict=True)])
    for pairs, is_followed in zip((MOUTH_OPENING, LID_OPENINGS), follows, strict=True):
        expected, seen = openings(faces, pairs), openings(dressed, pairs)
        if is_followed:
            assert np.corrcoef(expected, seen)[0, 1] > 0.6
        elif is_followed is None:
            assert seen.std() < 1.1 * expected.std()
        else:
            assert seen.std() < 0.4 * expected.std(), "nothing is invented"


def test_where_sunglasses_and_a_mask_leave_no_face_none_is_found() -> None:
    pictures, faces = talking()
    tracker = animator().finder.tracker()
    dressed = [sunglasses_and_mask(p, face.points) for p, face in zip(pictures, faces, strict=True)]
    assert sum(tracker(picture) is not None for picture in dressed) < len(dressed) / 2


def test_a_babys_proportions_are_a_face() -> None:
    photo, points = portrait(), portrait_face().points
    middle, height = points.mean(0), np.ptp(points[:, 1])
    down, across = (np.mgrid[:512, :512].astype(np.float32) - middle[::-1, None, None]) / height
    near = np.exp(-2 * (across**2 + down**2))  # a short chin, large eyes, round cheeks
    columns = middle[0] + height * across * (1 + 0.15 * near * np.tanh(3 * down))
    rows = middle[1] + height * down * (1 + 0.35 * near * np.tanh(3 * down))
    (face,) = animator().finder.faces(cv2.remap(photo, columns, rows, cv2.INTER_LINEAR))
    assert face.score > 0.999


def test_the_smaller_of_two_is_followed_where_the_larger_one_only_listens() -> None:
    pictures, faces = talking()
    scenes = []
    for picture in pictures:
        scene = np.concatenate([portrait(), np.full_like(portrait(), 90)], axis=1)
        scene[200:456, 700:956] = cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA)
        scenes.append(scene)
    small = followed(scenes, which=1)
    assert np.corrcoef(openings(faces, MOUTH_OPENING), openings(small, MOUTH_OPENING))[0, 1] > 0.9


@pytest.mark.parametrize("costume", [medical_mask, niqab])
def test_no_mouth_is_painted_on_what_covers_it(costume: Costume) -> None:
    dressed = animator().portrait(costume(portrait(), portrait_face().points))
    speaks = Motion.of(Controls.of(mouth=0.8))
    (frame,) = animator().render(dressed, speaks, Transfer())
    lips = portrait_face().points[[61, 291, 0, 17]]
    (left, top), (right, bottom) = np.rint(lips.min(0)).astype(int), np.rint(lips.max(0)).astype(int)
    assert frame[top:bottom, left:right].reshape(-1, 3).std(0).max() < 3, "plain cloth"
