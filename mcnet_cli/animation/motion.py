"""Motion: a driving's keypoints over time, all that the network needs of it; and the file that keeps it.

Files are safetensors, checked before use, so that one from a stranger is safe to open.
"""

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mcnet_cli._header import Header, read_header
from mcnet_cli._safetensors import read_tensors, write_tensors
from mcnet_cli.errors import InputError, shown
from mcnet_cli.face.topology import IRIS_POINTS, MESH_POINTS
from mcnet_cli.files import atomic_output, require_regular_file
from mcnet_cli.model import Keypoints

Floats = NDArray[np.float32]
SMOOTHING_REACH = 4.0  # standard deviations
# The one-euro filter: cutoff in Hz for keypoints at rest, how much it rises with their speed (in crops' half
# sides a second), and the cutoff for the speed itself. Chosen on stills with noise and on seven videos: there
# is 0.4 times the jitter that a Gaussian of 0.4 frames leaves, and blinks and open mouths keep 0.98 of their
# depth, as with that Gaussian.
STILL_CUTOFF, CUTOFF_PER_SPEED, SPEED_CUTOFF = 0.5, 300.0, 1.0
MOTION_SUFFIX = ".motion"
LANDMARKS, IRISES = MESH_POINTS, 2 * IRIS_POINTS
# What a file may hold. Beyond these it is taken for damaged or hostile.
FORMAT = "1"
FRAME_LIMIT = 1_000_000  # eleven hours at 25 frames/s
KEYPOINT_LIMIT = 500
LARGEST_VALUE = 100.0
SMALLEST_DETERMINANT = 1e-8
RATE_LIMITS = (Fraction(1, 100), Fraction(1000))


@dataclass(frozen=True, slots=True)
class Motion:
    """T frames of a driving, without sound, picture or likeness.

    `Animator.motion` makes one, `write_motion` keeps it in a file of a few kilobytes.

    Attributes:
        values: (T, K, 2) float32 keypoints in [-1, 1] of the crop, x then y.
        jacobians: (T, K, 2, 2) float32 local affine frames, or None for a network without them.
        landmarks: (T, L, 2) float16 face mesh, [-1, 1] along the longer side of the driving's picture: all
            468 points, or 90 of them; arbitrary where no face was found. None if no detector ran.
        irises: (T, 10, 2) float16, likewise: centre, right, top, left and bottom of the iris in the picture's
            left eye, then of the other one's. None if no detector ran, and in files of former versions.
        found: (T,) bool, whether there was a face; all True if no detector ran.
        rate: frames a second.
        digest: sha256 of the parameters of the keypoint detector that the values are for.

    Example:
        >>> from mcnet_cli import Animator
        >>> motion = Animator.load("lite").motion("driving.mp4", max_frames=5)
        >>> len(motion), motion.rate
        (5, Fraction(25, 1))
        >>> len(motion[2:4])
        2
    """

    values: Floats
    jacobians: Floats | None
    landmarks: NDArray[np.float16] | None
    found: NDArray[np.bool_]
    rate: Fraction
    digest: str
    irises: NDArray[np.float16] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice | NDArray[Any]) -> "Motion":
        """Some of the frames, at the same rate."""
        return replace(
            self,
            values=self.values[rows],
            jacobians=None if self.jacobians is None else self.jacobians[rows],
            landmarks=None if self.landmarks is None else self.landmarks[rows],
            irises=None if self.irises is None else self.irises[rows],
            found=self.found[rows],
        )

    def held(self) -> "Motion":
        """Frames without a face repeat the last one with a face; before the first, the first one."""
        rows = np.where(self.found, np.arange(len(self)), -1)
        rows = np.maximum.accumulate(rows)
        rows[rows < 0] = int(self.found.argmax())
        return replace(
            self,
            values=self.values[rows],
            jacobians=None if self.jacobians is None else self.jacobians[rows],
        )

    def smoothed(self, sigma: float) -> "Motion":
        """Keypoints averaged over time by a Gaussian of `sigma` frames; both ends are repeated."""
        if sigma <= 0:
            return self
        return replace(
            self,
            values=_smooth(self.values, sigma),
            jacobians=None if self.jacobians is None else _smooth(self.jacobians, sigma),
        )

    def steadied(self) -> "Motion":
        """Keypoints without the noise of tracking, which is seen most where they hardly move.

        The one-euro filter (Casiez et al., CHI 2012), forwards and backwards in time so that nothing lags.
        The faster a keypoint moves, the less it is averaged, so that blinks stay.
        """
        return replace(
            self,
            values=_steady(self.values, self.values, float(self.rate)),
            jacobians=None
            if self.jacobians is None
            else _steady(self.jacobians, self.values, float(self.rate)),
        )

    def keypoints(self, rows: slice | int, device: torch.device | str = "cpu") -> Keypoints:
        """Keypoints of some frames; of one frame as a batch of one."""
        if isinstance(rows, int):
            rows = slice(rows, rows + 1)
        values = torch.from_numpy(self.values[rows]).to(device)
        if self.jacobians is None:
            return Keypoints(values)
        return Keypoints(values, torch.from_numpy(self.jacobians[rows]).to(device))


def _smooth(series: Floats, sigma: float) -> Floats:
    radius = max(1, round(SMOOTHING_REACH * sigma))
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    last = len(series) - 1
    smooth = np.zeros(series.shape, np.float64)
    for offset, weight in zip(range(-radius, radius + 1), weights, strict=True):
        smooth += weight * series[np.clip(np.arange(len(series)) + offset, 0, last)]
    return smooth.astype(np.float32)


def _steady(series: Floats, values: Floats, rate: float) -> Floats:
    """(T, K, ...) series, filtered as strongly as the speeds of (T, K, 2) values allow."""
    passes = []
    for way in (slice(None), slice(None, None, -1)):
        shares = _new_shares(values[way], rate)
        filtered = series[way].astype(np.float64)
        shares = shares.reshape(*shares.shape, *[1] * (series.ndim - 2))
        for row in range(1, len(filtered)):
            filtered[row] = filtered[row - 1] + shares[row] * (filtered[row] - filtered[row - 1])
        passes.append(filtered[way])
    return ((passes[0] + passes[1]) / 2).astype(np.float32)


def _new_shares(values: Floats, rate: float) -> NDArray[np.float64]:
    """(T, K): the share that each frame has in the filter's result, the rest is that of the one before."""
    velocities = np.diff(values.astype(np.float64), axis=0, prepend=values[:1]) * rate
    share = _share_of(SPEED_CUTOFF, rate)
    for row in range(1, len(velocities)):
        velocities[row] = velocities[row - 1] + share * (velocities[row] - velocities[row - 1])
    speeds = np.linalg.norm(velocities, axis=-1)
    shares: NDArray[np.float64] = _share_of(STILL_CUTOFF + CUTOFF_PER_SPEED * speeds, rate)
    return shares


def _share_of(cutoff: Any, rate: float) -> Any:
    """What a first-order low-pass filter takes of a new sample; cutoff: in Hz."""
    return 1 / (1 + rate / (2 * np.pi * cutoff))


def write_motion(path: Path, motion: Motion, *, overwrite: bool = False) -> None:
    """Saves a motion to a file that holds no picture and no sound.

    The file appears under its name when it is complete. Equal motions give equal bytes.

    Args:
        path: the file; `mcnet animate` knows motion files by the suffix `.motion`.
        motion: with all 468 landmarks or none, as `Animator.motion` gives it.
        overwrite: replace an existing file; otherwise that is a UsageError.

    Raises:
        UsageError: the name is taken.
        SystemFailure: the disk is full or not writable.

    Example:
        >>> from pathlib import Path
        >>> from mcnet_cli import Animator, read_motion, write_motion
        >>> motion = Animator.load("lite").motion("driving.mp4", max_frames=5)
        >>> write_motion(Path("wave.motion"), motion)
        >>> len(read_motion(Path("wave.motion")))
        5
    """
    tensors = {"values": torch.from_numpy(motion.values), "found": torch.from_numpy(motion.found)}
    if motion.jacobians is not None:
        tensors["jacobians"] = torch.from_numpy(motion.jacobians)
    if motion.landmarks is not None:
        tensors["landmarks"] = torch.from_numpy(motion.landmarks)
    if motion.irises is not None:
        tensors["irises"] = torch.from_numpy(motion.irises)
    metadata = {
        "mcnet.motion": FORMAT,
        "mcnet.rate": str(motion.rate),
        "mcnet.detector": motion.digest,
    }
    with atomic_output(path, overwrite=overwrite) as part:
        write_tensors(part, tensors, metadata)


def read_motion(path: Path) -> Motion:
    """Reads what `write_motion` wrote.

    Raises InputError, which names the file and the first thing wrong: no motion file, damaged, or numbers
    that make no sense.

    Example:
        >>> from pathlib import Path
        >>> from mcnet_cli import read_motion
        >>> read_motion(Path("portrait.jpg"))  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        InputError: portrait.jpg is damaged
    """
    require_regular_file(path)
    header = read_header(path, error=InputError)
    if header.metadata.get("mcnet.motion") != FORMAT:
        raise InputError(f"{shown(path)} is not a motion file", hint="make one with --save-motion")
    rate = _rate(path, header.metadata.get("mcnet.rate", ""))
    digest = header.metadata.get("mcnet.detector", "")
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise InputError(f"{shown(path)}: its detector's digest makes no sense")
    _check_entries(path, header)
    entries = {name: t.numpy() for name, t in read_tensors(path, header.shapes, error=InputError).items()}
    for name, entry in entries.items():
        if name != "found" and not (np.isfinite(entry).all() and np.abs(entry).max() <= LARGEST_VALUE):
            raise InputError(f"{shown(path)}: {name} holds numbers that make no sense")
    motion = Motion(
        entries["values"],
        entries.get("jacobians"),
        entries.get("landmarks"),
        entries["found"],
        rate,
        digest,
        entries.get("irises"),
    )
    _check_jacobians(path, motion.jacobians)
    if not motion.found.any():
        raise InputError(f"{shown(path)}: there is no face in any of its frames")
    return motion


def is_motion_file(path: Path) -> bool:
    """Whether a driving's name says that it is a motion file."""
    return path.suffix.lower() == MOTION_SUFFIX


def _rate(path: Path, text: str) -> Fraction:
    if re.fullmatch(r"[0-9]{1,9}(/[0-9]{1,9})?", text) and not text.endswith("/0"):
        rate = Fraction(*map(int, text.split("/")))
        if RATE_LIMITS[0] <= rate <= RATE_LIMITS[1]:
            return rate
    raise InputError(f"{shown(path)}: its frame rate makes no sense")


def _check_entries(path: Path, header: Header) -> None:
    """Names, types and shapes, before anything is allocated."""
    for name in ("values", "found"):
        if name not in header.shapes:
            raise InputError(f"{shown(path)}: missing {name}")
    shape = header.shapes["values"]
    if len(shape) != 3 or not (1 <= shape[0] <= FRAME_LIMIT and 1 <= shape[1] <= KEYPOINT_LIMIT):
        raise InputError(f"{shown(path)}: values has the shape {shape}, which makes no sense")
    frames, count = shape[:2]
    expected = {
        "values": ("F32", (frames, count, 2)),
        "jacobians": ("F32", (frames, count, 2, 2)),
        "landmarks": ("F16", (frames, LANDMARKS, 2)),
        "irises": ("F16", (frames, IRISES, 2)),
        "found": ("BOOL", (frames,)),
    }
    for name, shape in header.shapes.items():
        if name not in expected:
            raise InputError(f"{shown(path)}: unexpected {shown(name[:100])}")
        if (header.dtypes[name], shape) != expected[name]:
            raise InputError(
                f"{shown(path)}: {name} is {shown(header.dtypes[name])} {shape}, "
                f"not {expected[name][0]} {expected[name][1]}"
            )


def _check_jacobians(path: Path, jacobians: NDArray[np.float32] | None) -> None:
    if jacobians is not None and np.abs(np.linalg.det(jacobians)).min() < SMALLEST_DETERMINANT:
        raise InputError(f"{shown(path)}: one of its jacobians can't be inverted")
