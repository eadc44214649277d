"""Draws `drawn.jpg`, a portrait of 1600 x 1600 pixels of nobody, by the heads that training can draw.

python examples/make_portrait.py --overwrite
"""

import argparse
from pathlib import Path

import cv2

from mcnet_cli.synthetic import render_clip

TARGET = Path(__file__).parent / "drawn.jpg"
PERSON, SIDE_PX, QUALITY = 8, 1600, 90


def main() -> None:
    """Draws the portrait; exits with 2 if it is there already."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--overwrite", action="store_true", help="replace the portrait")
    if not parser.parse_args().overwrite and TARGET.exists():
        parser.error(f"{TARGET} exists already; --overwrite replaces it")
    drawn = render_clip(PERSON, frames=1, size=SIDE_PX).frames[0]
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    TARGET.write_bytes(data.tobytes())


if __name__ == "__main__":
    main()
