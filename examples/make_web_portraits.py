"""Makes the example portraits of `mcnet web`: `portrait.jpg` made smaller in bytes, and two drawn people.

python examples/make_web_portraits.py
"""

from pathlib import Path

import cv2

from mcnet_cli.synthetic import render_clip

EXAMPLES = Path(__file__).parent
FOLDER = EXAMPLES.parent / "mcnet_cli/web/page/examples"
SIDE_PX, QUALITY = 512, 85
DRAWN = {"drawn-glasses.jpg": 8, "drawn-grey.jpg": 15}  # numbers of the people that training can draw


def main() -> None:
    """Writes the three files anew."""
    pictures = {"astronaut.jpg": cv2.imread(str(EXAMPLES / "portrait.jpg"))}
    for name, person in DRAWN.items():
        drawn = render_clip(person, frames=1, size=SIDE_PX).frames[0]
        pictures[name] = cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)
    for name, picture in pictures.items():
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        (FOLDER / name).write_bytes(data.tobytes())


if __name__ == "__main__":
    main()
