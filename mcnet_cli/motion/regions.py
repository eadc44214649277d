"""Regions of a face, of which each follows the driving by a factor of its own.

A landmark's displacement from the reference has two parts: what the head's pose does to it, as that of an
average head in space, and the rest, which is expression. Factors scale the pose and the expression of lips,
eyes and brows apart.
"""

from collections.abc import Mapping, Sequence

from mcnet_cli.errors import UsageError
from mcnet_cli.face.outer import average_face
from mcnet_cli.face.topology import MESH_POINTS
from mcnet_cli.options import require_between

Factors = dict[str, float]

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
STRENGTH_LIMIT = 10.0
# Where the parts are on the average face, in its heights: brows with the forehead above a line; eyes between
# that and the next one, beside the nose; lips with the jaw below the nose, and with the cheeks beside it.
BROWS_ABOVE, EYES_ABOVE, LIPS_BELOW = -0.245, -0.1, 0.1
EYES_BESIDE, EYES_WITHIN, CHEEKS_BELOW, CHEEKS_BESIDE, CHEEKS_BEFORE = 0.06, 0.33, 0.0, 0.12, 0.4


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


def part_of(number: int) -> str:
    """The part of the face that a landmark belongs to; those beyond the mesh go with the pose."""
    if number >= MESH_POINTS:
        return "pose"
    x, y, depth = average_face()[number].tolist()
    if y < BROWS_ABOVE:
        return "brows"
    if y < EYES_ABOVE and EYES_BESIDE < abs(x) < EYES_WITHIN:
        return "eyes"
    is_cheek = y > CHEEKS_BELOW and abs(x) > CHEEKS_BESIDE and depth < CHEEKS_BEFORE
    return "lips" if y > LIPS_BELOW or is_cheek else "face"
