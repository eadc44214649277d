"""A contact sheet: some frames of each clip, side by side, so that a glance tells whether they are good."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mcnet_cli.errors import InputError
from mcnet_cli.face import CropBox, crop
from mcnet_cli.face.sampling import Picture
from mcnet_cli.media import open_frames, read_image, write_image

FILE = "preview.png"
COLUMNS, THUMB_PX, LABEL_PX, GAP_PX = 6, 128, 16, 4
ACROSS = 2  # clips
MOST_CLIPS = 200  # on a sheet, evenly chosen if there are more
BACKGROUND = 24


def write_preview(output: Path, rows: Sequence[dict[str, Any]]) -> Path | None:
    """Writes `output`/preview.png from the clips that are kept; None, and no file, if there are none."""
    kept = [row for row in rows if row["status"] == "kept"]
    if not kept:
        return None
    chosen = [
        kept[i] for i in np.unique(np.linspace(0, len(kept) - 1, min(len(kept), MOST_CLIPS)).astype(int))
    ]
    width, height = COLUMNS * THUMB_PX, THUMB_PX + LABEL_PX
    down = -(-len(chosen) // ACROSS)
    across = min(ACROSS, len(chosen))
    shape = (down * (height + GAP_PX), across * (width + GAP_PX), 3)
    sheet = np.full(shape, BACKGROUND, np.uint8)
    for index, row in enumerate(chosen):
        y, x = index // ACROSS * (height + GAP_PX), index % ACROSS * (width + GAP_PX)
        sheet[y : y + LABEL_PX, x : x + width] = _label(row["clip"], width)
        for column, picture in enumerate(_samples(output / row["clip"], row)):
            left = x + column * THUMB_PX
            sheet[y + LABEL_PX : y + height, left : left + THUMB_PX] = picture
    path = output / FILE
    write_image(path, sheet, overwrite=True)
    return path


def _samples(clip: Path, row: dict[str, Any]) -> Iterator[Picture]:
    """Thumbnails of evenly chosen frames; of a clip that somebody has spoilt since, fewer."""
    count = row["frames"]
    wanted = np.unique(np.linspace(0, count - 1, min(count, COLUMNS)).astype(int)).tolist()
    try:
        if clip.suffix == ".png":
            yield _thumb(read_image(clip))
        elif clip.is_dir():
            for number in wanted:
                yield _thumb(read_image(clip / f"{number + 1:05d}.png"))
        else:
            with open_frames(clip) as frames:
                for number, frame in enumerate(frames):
                    if number in wanted:
                        yield _thumb(frame)
    except InputError:
        return


def _thumb(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    return crop(picture, CropBox(0, 0, width, height), THUMB_PX)


def _label(text: str, width: int) -> Picture:
    from PIL import Image, ImageDraw

    label = Image.new("RGB", (width, LABEL_PX), (BACKGROUND,) * 3)
    printable = text.encode("ascii", "replace").decode()
    ImageDraw.Draw(label).text((2, 2), printable, fill=(230, 230, 230))
    return np.asarray(label, np.uint8)
