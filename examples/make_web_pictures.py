"""Makes the pictures of `mcnet web`: its example portraits, and what its gallery of motions shows.

The portraits are `portrait.jpg`, made smaller in bytes, and two drawn people; one of them shows the motions.

python examples/make_web_pictures.py
"""

from fractions import Fraction
from pathlib import Path

import cv2

from mcnet_cli import Animator, bundled_motions
from mcnet_cli.media import open_output
from mcnet_cli.synthetic import render_clip

EXAMPLES = Path(__file__).parent
PAGE = EXAMPLES.parent / "mcnet_cli/web/page"
SIDE_PX, QUALITY = 512, 85
DRAWN = {"drawn-glasses.jpg": 8, "drawn-grey.jpg": 15}  # numbers of the people that training can draw
SHOWN_PX, SHOWN_RATE = 96, 8
SHOWN_BY = "drawn-grey.jpg"


def main() -> None:
    """Writes all files anew."""
    pictures = {"astronaut.jpg": cv2.imread(str(EXAMPLES / "portrait.jpg"))}
    for name, person in DRAWN.items():
        drawn = render_clip(person, frames=1, size=SIDE_PX).frames[0]
        pictures[name] = cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)
    for name, picture in pictures.items():
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        (PAGE / "examples" / name).write_bytes(data.tobytes())
    animator = Animator.load("lite")
    portrait = animator.portrait(PAGE / "examples" / SHOWN_BY)
    for bundled in bundled_motions():
        motion = bundled.motion(SHOWN_RATE)
        target, size = PAGE / "motions" / f"{bundled.name}.webp", (SHOWN_PX, SHOWN_PX)
        with open_output(target, size=size, frame_rate=Fraction(SHOWN_RATE), overwrite=True) as film:
            for frame in animator.render(portrait, motion, picture="face", size=SHOWN_PX):
                film.write(frame)


if __name__ == "__main__":
    main()
