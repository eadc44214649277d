"""Draws `motions.webp`: the motions that `mcnet animate` knows by name, each on `portrait.jpg`.

python examples/make_motions.py --overwrite
"""

import argparse
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mcnet_cli import Animator, BundledMotion, CropBox, MotionEdit, bundled_motions
from mcnet_cli.media import open_output

HERE = Path(__file__).parent
PORTRAIT, TARGET = HERE / "portrait.jpg", HERE / "motions.webp"
RATE, SECONDS, SIDE_PX, COLUMNS = Fraction(10), 4.0, 144, 5
FACE = CropBox(110, 5, 236, 236)  # the part of the portrait that is shown


def main() -> None:
    """Draws the sheet; exits with 2 if it is there already."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--overwrite", action="store_true", help="replace the sheet")
    options = parser.parse_args()
    if not options.overwrite and TARGET.exists():
        parser.error(f"{TARGET} exists already; --overwrite replaces it")
    animator = Animator.load("lite", device="cpu")
    films = [list(frames(animator, motion)) for motion in bundled_motions()]
    rows = len(films) // COLUMNS
    size = COLUMNS * SIDE_PX, rows * SIDE_PX
    how: dict[str, Any] = {"quality": "good", "threads": 1, "overwrite": options.overwrite}
    with open_output(TARGET, size=size, frame_rate=RATE, **how) as sink:
        for pictures in zip(*films, strict=True):
            lines = [np.hstack(pictures[row * COLUMNS : (row + 1) * COLUMNS]) for row in range(rows)]
            sink.write(np.vstack(lines))


def frames(animator: Animator, bundled: BundledMotion) -> Iterator[NDArray[np.uint8]]:
    """The portrait's face with a motion, repeated, and its name below."""
    motion = MotionEdit(duration_s=SECONDS).applied(bundled.motion(RATE))
    for photo in animator.render(animator.portrait(PORTRAIT), motion):
        face = photo[FACE.y : FACE.y + FACE.height, FACE.x : FACE.x + FACE.width]
        small = cv2.resize(face, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
        cv2.rectangle(small, (0, SIDE_PX - 18), (SIDE_PX, SIDE_PX), (24, 24, 24), -1)
        place, font = (6, SIDE_PX - 5), cv2.FONT_HERSHEY_SIMPLEX
        yield cv2.putText(small, bundled.name, place, font, 0.42, (240, 240, 240), 1, cv2.LINE_AA)


if __name__ == "__main__":
    main()
