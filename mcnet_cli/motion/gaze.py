"""Gaze: how far the driving's irises turn from where they rest, and where that puts the source's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcnet_cli.compositing import Gaze
from mcnet_cli.face.outer import similarity
from mcnet_cli.face.topology import EYE_OUTLINES, INNER_EYE_CORNERS, LID_OPENINGS, OUTER_EYE_CORNERS
from mcnet_cli.model import Keypoints
from mcnet_cli.model.outlines import EYE
from mcnet_cli.motion.motion import Motion

Points = NDArray[Any]

CENTRES = (0, 5)  # of the irises, among their ten points
# Openings of an eye over its width: below the first the iris is hidden, and where it is found is a guess.
SHUT, OPEN = EYE.shown
LID_MAP_PX = 160  # the side of a map of the distance from lids
# The least width of an eye, over the distance of the outer corners, at which its iris is seen well.
MIN_EYE_WIDTH = 0.1


@dataclass(frozen=True, slots=True)
class EyeLandmarks:
    """Both eyes of one face or of many, in any unit, the picture's left eye first.

    outer, inner: (..., 2, 2) corners. upper, lower: (..., 2, 2) middles of the lids. irises: (..., 2, 2)
    their centres.
    """

    outer: Points
    inner: Points
    upper: Points
    lower: Points
    irises: Points

    @classmethod
    def of(cls, landmarks: Points, irises: Points, numbers: list[int] | None = None) -> "EyeLandmarks":
        """Of (..., N, 2) landmarks and (..., 10, 2) points of the irises.

        numbers: the N points of the mesh that the landmarks are; None for all of it.
        """
        uppers, lowers = zip(*LID_OPENINGS, strict=True)

        def at(points: tuple[int, ...]) -> Points:
            places = points if numbers is None else [numbers.index(point) for point in points]
            return landmarks[..., places, :].astype(np.float64)

        centres = irises[..., CENTRES, :].astype(np.float64)
        return cls(at(OUTER_EYE_CORNERS), at(INNER_EYE_CORNERS), at(uppers), at(lowers), centres)

    @property
    def axes(self) -> tuple[Points, Points]:
        """(..., 2, 2) unit vectors across and down the face, and (...,) the distance of the outer corners."""
        across = self.outer[..., 1, :] - self.outer[..., 0, :]
        length = np.maximum(np.linalg.norm(across, axis=-1), 1e-6)
        across = across / length[..., None]
        return np.stack([across, np.stack([-across[..., 1], across[..., 0]], -1)], -2), length

    @property
    def widths(self) -> Points:
        """(..., 2) of the eyes, over the distance of the outer corners."""
        widths: Points = np.linalg.norm(self.inner - self.outer, axis=-1) / self.axes[1][..., None]
        return widths

    @property
    def openings(self) -> Points:
        """(..., 2) of the lids, over the eyes' widths."""
        heights = np.linalg.norm(self.lower - self.upper, axis=-1) / self.axes[1][..., None]
        openings: Points = heights / np.maximum(self.widths, MIN_EYE_WIDTH)
        return openings

    @property
    def offsets(self) -> Points:
        """(..., 2, 2) of the irises from the outer corners, across and down, over the corners' distance."""
        axes, length = self.axes
        turned: Points = (self.irises - self.outer) @ np.swapaxes(axes, -1, -2)
        return turned / length[..., None, None]

    @property
    def places(self) -> Points:
        """The same over the width of an eye, which is the same in all frames."""
        wide = np.median(self.widths.reshape(-1, 2).mean(-1))
        return self.offsets / max(float(wide), MIN_EYE_WIDTH)


def gaze_shifts(motion: Motion, rest: Points, numbers: list[int] | None = None) -> Points | None:
    """(T, 2): how far the driving's irises are from where they rest, in widths of its eyes.

    The mean of both eyes, across and down the face. While lids are shut irises are on their way from where
    they were last seen to where they are seen next. None if the motion has no irises.

    rest: (T,) how much each frame counts in where they do, or (2, 2) their places, `EyeLandmarks.places` of
    another face. numbers: the points of the mesh that the motion's landmarks are; None for all of it.
    """
    if motion.landmarks is None or motion.irises is None:
        return None
    faces = np.flatnonzero(motion.found)
    eyes = EyeLandmarks.of(motion.landmarks[faces], motion.irises[faces], numbers)
    seen = eyes.openings.max(-1) > SHUT
    if not seen.any():
        return np.zeros((len(motion), 2))
    places, frames = eyes.places, faces[seen]
    if rest.ndim == 1:
        weights = rest[frames]
        if not weights.any():
            weights = np.arange(len(frames)) == np.abs(frames - rest.argmax()).argmin()
        rest = np.average(places[seen], axis=0, weights=weights)
    shifts = _mean_shifts(eyes, places - rest)
    everywhere = np.arange(len(motion))
    return np.stack([np.interp(everywhere, frames, line) for line in shifts[seen].T], -1)


class LiveGaze:
    """As `gaze_shifts`, one frame after the other; while lids are shut the last shift stays.

    rest: the eyes where their irises rest.
    """

    def __init__(self, rest: EyeLandmarks) -> None:
        self._width = max(float(rest.widths.mean()), MIN_EYE_WIDTH)
        self._rest = rest.offsets
        self._shift = np.zeros(2)

    def shift(self, eyes: EyeLandmarks) -> Points:
        """(2,) how far the irises are from where they rest, across and down the face, in widths of eyes."""
        if eyes.openings.max() > SHUT:
            self._shift = _mean_shifts(eyes, (eyes.offsets - self._rest) / self._width)
        return self._shift


def _mean_shifts(eyes: EyeLandmarks, shifts: Points) -> Points:
    """(..., 2) the mean of both eyes' (..., 2, 2) shifts; the eye that is seen better counts more."""
    # an eye that is turned away or half shut is seen less, and its iris less exactly
    trust = np.maximum(eyes.widths - MIN_EYE_WIDTH, 1e-3)
    trust = trust * np.clip((eyes.openings - SHUT) / (OPEN - SHUT), 1e-3, 1)
    mean: Points = (shifts * trust[..., None]).sum(-2) / trust.sum(-1, keepdims=True)
    return mean


class GazeTransfer:
    """Puts the irises of one source where the driving's gaze, or its own, wants them.

    shifts: (T, 2) as of `gaze_shifts`. landmarks, irises: (468, 2) and (10, 2) of the source in any unit.
    source: its keypoints. corners: where the eyes' outer corners are among the keypoints.
    """

    def __init__(
        self, shifts: Points, landmarks: Points, irises: Points, source: Keypoints, corners: Sequence[int]
    ) -> None:
        eyes = EyeLandmarks.of(landmarks, irises)
        self._shifts, self._corners = torch.from_numpy(shifts).float(), list(corners)
        self._offsets = torch.from_numpy(eyes.offsets).float()
        self._width = float(eyes.widths.mean())
        self._source, length = self._placed(source.values, torch.zeros(1, 2))
        rings = irises.reshape(2, 5, 2).astype(np.float64)
        radii = np.linalg.norm(rings[:, 1:] - rings[:, :1], axis=-1).mean(-1) / eyes.axes[1]
        self._radii = torch.from_numpy(radii).float() * length
        shown = np.clip((eyes.openings - SHUT) / (OPEN - SHUT), 0, 1)
        self._shown = torch.from_numpy(shown).float()[None]
        # from the landmarks' unit to the network's square, by the outer corners
        onto = similarity(eyes.outer, source.values[0, self._corners].numpy().astype(np.float64))
        lids = landmarks[np.array(EYE_OUTLINES)].astype(np.float64) @ onto[:, :2].T + onto[:, 2]
        maps, frames = zip(*map(_distances, lids), strict=True)
        self._lids = torch.from_numpy(np.stack(maps))[:, None]
        self._frames = torch.from_numpy(np.stack(frames)).float()

    def gaze(self, rows: NDArray[np.intp], keypoints: Keypoints) -> Gaze:
        """Where the irises are in the source, and where they go in frames `rows`, of B keypoints."""
        return self.shifted(self._shifts[torch.from_numpy(rows)], keypoints)

    def shifted(self, shifts: Tensor, keypoints: Keypoints) -> Gaze:
        """The same for (B, 2) shifts that come with their keypoints."""
        driving, _ = self._placed(keypoints.values, self._width * shifts)
        return Gaze(self._source, driving, self._radii, self._shown, self._lids, self._frames)

    def _placed(self, values: Tensor, shifts: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 2, 2) places of the irises, shifted by (B, 2), and (B, 1) the distance of the outer corners."""
        corners = values[:, self._corners]
        across = corners[:, 1] - corners[:, 0]
        axes = torch.stack([across, torch.stack([-across[:, 1], across[:, 0]], -1)], 1)
        return corners + (self._offsets + shifts[:, None]) @ axes, across.norm(dim=-1, keepdim=True)


def _distances(lids: Points) -> tuple[NDArray[np.float32], Points]:
    """(S, S) distances from a closed line of (N, 2) lid points, below 0 inside, and two corners of that map.

    The map reaches beyond the lids by half an eye's width.
    """
    middle = (lids.min(0) + lids.max(0)) / 2
    half = max(float(np.ptp(lids, axis=0).max()), 1e-6)
    pixel, low = 2 * half / (LID_MAP_PX - 1), middle - half
    inside = np.zeros((LID_MAP_PX, LID_MAP_PX), np.uint8)
    cv2.fillPoly(inside, [np.rint((lids - low) * (256 / pixel)).astype(np.int32)], 1, shift=8)
    apart = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5) - cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    apart = cv2.GaussianBlur(apart, (0, 0), 1.5)  # without the steps of its pixels
    return (apart * pixel).astype(np.float32), np.stack([low, middle + half])
