"""Lids: what the mesh doesn't see of them, the closer look does."""

from pathlib import Path

import numpy as np
from face_tools import detector, mesh, portrait, portrait_face

from mcnet_cli.face import LIDS, FaceTracker, opening
from mcnet_cli.face.eyes import CONTOURS, EyeContours
from mcnet_cli.media import open_frames

DRIVING = Path(__file__).resolve().parents[1] / "examples" / "driving.mp4"
EYES = [point for contour in CONTOURS for point in contour]


def test_lids_are_seen_to_close() -> None:
    tracker = FaceTracker(detector(), mesh())
    with open_frames(DRIVING) as frames:
        meshes = [tracker(frame) for frame in frames]
    openings = np.array([opening(found.points, LIDS) for found in meshes if found is not None])
    assert len(openings) == len(meshes)
    assert openings.min() < 0.5 * np.median(openings)
    assert (openings < 0.5 * np.median(openings)).mean() < 0.3, "a blink is short"


def test_only_the_eyes_are_looked_at() -> None:
    points = portrait_face().points.astype(np.float64)
    refined = EyeContours()(portrait(), points)
    others = np.setdiff1d(np.arange(468), EYES)
    assert (refined[others] == points[others]).all()
    width = np.linalg.norm(points[33] - points[133])
    assert np.linalg.norm(refined - points, axis=1)[EYES].mean() < 0.1 * width


def test_a_mirrored_face_has_mirrored_eyes() -> None:
    left, right = (list(contour) for contour in CONTOURS)
    points = portrait_face().points.astype(np.float64)
    wide = portrait().shape[1]
    mirrored = points.copy()
    mirrored[left], mirrored[right] = points[right], points[left]
    mirrored[:, 0] = wide - mirrored[:, 0]
    here = EyeContours()(portrait(), points)
    there = EyeContours()(np.ascontiguousarray(portrait()[:, ::-1]), mirrored)
    there[:, 0] = wide - there[:, 0]
    np.testing.assert_allclose(there[left], here[right], atol=0.2)
    np.testing.assert_allclose(there[right], here[left], atol=0.2)


def test_an_eye_that_is_hardly_seen_keeps_the_meshs_points() -> None:
    points = portrait_face().points.astype(np.float64)
    hidden = list(CONTOURS[1])
    points[hidden] = points[263] + 0.2 * (points[hidden] - points[263])
    refined = EyeContours()(portrait(), points)
    assert (refined[hidden] == points[hidden]).all()
    assert (refined[list(CONTOURS[0])] != points[list(CONTOURS[0])]).any()
    assert (EyeContours()(portrait(), points * 0.001) == points * 0.001).all()
