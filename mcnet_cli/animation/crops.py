"""What is cropped of source and driving: by options, or by a file that an earlier run has saved."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from mcnet_cli.errors import InputError, shown
from mcnet_cli.face import CropBox
from mcnet_cli.files import atomic_output, require_regular_file

Crop = CropBox | Literal["auto", "none"]
CROPS_FILE_LIMIT = 1 << 20  # bytes
LARGEST_CROP_PX = 1e6


class Crops:
    """What is cropped on both sides. A box in the options wins over the file, and the file over `auto`.

    The file: {"driving": [x, y, width, height] or null, "sources": {NAME: [[x, y, width, height], ...]}}.

    path: the file; it is read if it exists. source, driving: the options.
    """

    def __init__(self, path: Path | None, source: Crop, driving: Crop) -> None:
        self._path, self._source, self._driving = path, source, driving
        self._saved: dict[str, Any] | None = None
        if path is not None and path.exists():
            self._saved = _read_crops(path)

    @property
    def driving(self) -> Crop:
        """What the network sees of the driving's frames."""
        if self._driving != "auto" or self._saved is None or self._saved["driving"] is None:
            return self._driving
        return CropBox(*self._saved["driving"])

    def source(self, path: Path) -> list[CropBox] | Literal["auto", "none"]:
        """What the network sees of a source, a box for each face."""
        if isinstance(self._source, CropBox):
            return [self._source]
        if self._source == "none" or self._saved is None or path.name not in self._saved["sources"]:
            return self._source
        return [CropBox(*box) for box in self._saved["sources"][path.name]]

    def save(self, driving: CropBox | None, sources: dict[Path, tuple[CropBox, ...]]) -> None:
        """Writes what was cropped, if a file is asked for that doesn't exist yet."""
        if self._path is None or self._saved is not None:
            return
        data = {
            "driving": driving and _numbers(driving),
            "sources": {path.name: [_numbers(box) for box in boxes] for path, boxes in sources.items()},
        }
        with atomic_output(self._path, overwrite=False) as part:
            part.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _numbers(box: CropBox) -> list[float]:
    return [round(float(side), 3) for side in (box.x, box.y, box.width, box.height)]


def _read_crops(path: Path) -> dict[str, Any]:
    """The file, all boxes checked."""
    if require_regular_file(path).st_size > CROPS_FILE_LIMIT:
        raise InputError(f"{shown(path)} is too large for a file of crops")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        driving, sources = data.get("driving"), data.get("sources", {})
        boxes = [box for named in sources.values() for box in named]
        if not all(map(_is_box, boxes if driving is None else [driving, *boxes])):
            raise ValueError
        if not all(sources.values()):
            raise ValueError
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(
            f"{shown(path)} is not a file of crops", hint="delete it, and the next run writes a new one"
        ) from error
    return {"driving": driving, "sources": sources}


def _is_box(box: Sequence[object]) -> bool:
    numbers = [
        n for n in box if isinstance(n, int | float) and math.isfinite(n) and abs(n) <= LARGEST_CROP_PX
    ]
    return len(numbers) == len(box) == 4 and min(numbers[2:]) >= 1
