"""`Transfer`: how a driving's motion is carried over to a source, and how much each part of the face follows.

A landmark's displacement from the reference has two parts: what the head's pose does to it, as that of an
average head in space, and the rest, which is expression. Factors scale the pose and the expression of lips,
eyes and brows apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mcnet_cli.errors import UsageError, counted
from mcnet_cli.motion.controls import Controls
from mcnet_cli.motion.motion import Motion
from mcnet_cli.options import require_among, require_between

Mode = Literal["relative", "absolute"]
Reference = Literal["best", "first"] | int
GazeKind = Literal["driving", "source"]
NoFace = Literal["hold", "skip", "source"]

Factors = dict[str, float]

SMOOTH_LIMIT = 100.0  # frames
STRENGTH_LIMIT = 10.0
# What a factor is for. `face` is what is neither lips, eyes nor brows: nose, temples, ears.
PARTS = ("lips", "eyes", "brows", "face", "pose")
# What can be asked for, and the parts that it has.
REGIONS = {
    "lips": ("lips",),
    "eyes": ("eyes",),
    "brows": ("brows",),
    "expression": ("lips", "eyes", "brows", "face"),
    "pose": ("pose",),
    "all": PARTS,
}


@dataclass(frozen=True, slots=True)
class Transfer:
    """How a driving's motion is carried over to a source. UsageError where values make no sense.

    Attributes:
        motion: `relative` adds the change from a reference frame to the source's keypoints, so that the
            source keeps its shape; `absolute` takes the driving's keypoints as they are.
        adapt_scale: scale relative motion by how large the source's face is beside the driving's.
        reference: the frame that relative motion starts from. `best`: the one most like the source, or the
            mean of those about as like it. `first`: the first with a face. A number: that frame, from 0.
        strength: factor on the displacement from the reference, one for all or by region, such as
            {"lips": 1.3, "pose": 0.6}; 0 is the source as it is.
        region: what moves: any of `lips`, `eyes`, `brows`, `expression`, `pose`, `all`. `pose` moves the
            head and leaves the expression, the others leave the head where it is.
        smooth: standard deviation in frames of the Gaussian that smooths the motion over time. 0: none.
            None: landmarks are steadied where they hardly move; other keypoints as the weights ask for.
        gaze: `driving` turns the eyes as the driving turns its own, `source` leaves them as they look in the
            source. Networks whose keypoints are no landmarks leave them to the motion around.
        no_face: what is shown where the driving has no face. `hold`: the last pose, which goes over into the
            next one within a second. `skip`: nothing, these frames are left out. `source`: the source
            unmoved.
        controls: pose and expression by numbers, added to what moves otherwise, whatever its strength and
            region. One frame of them is there for all frames.

    Example:
        >>> from mcnet_cli import Transfer
        >>> Transfer(strength=1.2, reference="first").motion
        'relative'
    """

    motion: Mode = "relative"
    adapt_scale: bool = True
    reference: Reference = "best"
    strength: float | Mapping[str, float] = 1.0
    smooth: float | None = None
    gaze: GazeKind = "driving"
    no_face: NoFace = "hold"
    region: tuple[str, ...] = ("all",)
    controls: Controls | None = None

    def __post_init__(self) -> None:
        require_among("--motion", self.motion, get_args(Mode))
        require_among("--gaze", self.gaze, get_args(GazeKind))
        require_among("--on-no-face", self.no_face, get_args(NoFace))
        if isinstance(self.reference, int):
            require_between("--reference", self.reference, 0, None)
        else:
            require_among("--reference", self.reference, ("best", "first"))
        factors = self.factors  # which checks strength and region
        if self.motion == "absolute" and {*factors.values()} != {1.0}:
            raise UsageError(
                "--strength and --region need --motion relative: absolute motion has no start to go away from"
            )
        require_between("--smooth", self.smooth, 0, SMOOTH_LIMIT)

    @property
    def factors(self) -> Factors:
        """By how much each part of the face follows."""
        return region_factors(self.region, self.strength)

    def shown_frames(self, *motions: Motion) -> NDArray[np.intp]:
        """Numbers of the frames that a result shows, in order, of motions of one length."""
        found = np.any([motion.found for motion in motions], axis=0)
        return np.flatnonzero(found) if self.no_face == "skip" else np.arange(len(found))

    def require_reference(self, motion: Motion) -> None:
        """UsageError if relative motion is to start from a frame that the driving doesn't have."""
        if not (self.motion == "relative" and motion.is_recorded):
            return
        if isinstance(self.reference, int) and self.reference >= len(motion):
            raise UsageError(
                f"--reference {self.reference}: the driving has {counted(len(motion), 'frame')}, from 0 on"
            )


def region_factors(region: Sequence[str], strength: float | Mapping[str, float]) -> Factors:
    """The factor of each part: its strength where its region is asked for, else 0.

    strength: one for all, or those of regions by name; others are 1. UsageError for names or numbers that
    make no sense.
    """
    for name in region:
        _require_region("--region", name)
    if not region:
        raise UsageError("--region: nothing is left to move", hint=f"there are {', '.join(REGIONS)}")
    strengths = {"all": strength} if isinstance(strength, int | float) else dict(strength)
    factors = dict.fromkeys(PARTS, 1.0)
    # the wider region first, so that a part's own strength wins
    for name in sorted(strengths, key=lambda name: -len(REGIONS.get(name, ()))):
        _require_region("--strength", name)
        require_between("--strength", strengths[name], 0, STRENGTH_LIMIT)
        factors |= dict.fromkeys(REGIONS[name], float(strengths[name]))
    moved = {part for name in region for part in REGIONS[name]}
    return {part: factor if part in moved else 0.0 for part, factor in factors.items()}


def _require_region(option: str, name: str) -> None:
    if name not in REGIONS:
        raise UsageError(f"{option} {name}: there is no such region", hint=f"there are {', '.join(REGIONS)}")
