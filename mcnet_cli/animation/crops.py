"""Given crops: from the options, or from a --crop-json file that an earlier run saved and somebody edited."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcnet_cli.animation.request import AnimationRequest
from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.face import CropBox, parse_crop
from mcnet_cli.files import atomic_output, require_regular_file

FILE_LIMIT = 1 << 20  # bytes
LARGEST = 1e6  # pixels


class Crops:
    """Crop boxes that the user gives. Options win over the file; what neither gives is found automatically.

    The file: {"driving": [x, y, width, height] or null, "sources": {NAME: [[x, y, width, height], ...]}}.
    """

    def __init__(self, request: AnimationRequest) -> None:
        self._path = request.crop_json
        self._source = _option("--source-crop", request.source_crop)
        self._driving = _option("--driving-crop", request.driving_crop)
        self._source_mode, self._driving_mode = request.source_crop, request.driving_crop
        self._saved: dict[str, Any] | None = None
        if self._path is not None and self._path.exists():
            self._saved = _read(self._path)

    @property
    def driving(self) -> CropBox | None:
        """The driving's box, None if none is given."""
        if self._driving is not None or self._saved is None or self._driving_mode == "none":
            return self._driving
        saved = self._saved["driving"]
        return None if saved is None else CropBox(*saved)

    def source(self, path: Path) -> tuple[CropBox, ...] | None:
        """The boxes of a source, None if none are given."""
        if self._source is not None:
            return (self._source,)
        if self._saved is None or self._source_mode == "none":
            return None
        boxes = self._saved["sources"].get(path.name)
        return None if boxes is None else tuple(CropBox(*box) for box in boxes)

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


def _option(name: str, text: str) -> CropBox | None:
    try:
        crop = parse_crop(text)
    except UsageError as error:
        raise UsageError(f"{name}: {error}", hint=error.hint) from error
    return crop if isinstance(crop, CropBox) else None


def _numbers(box: CropBox) -> list[float]:
    return [round(float(side), 3) for side in (box.x, box.y, box.width, box.height)]


def _read(path: Path) -> dict[str, Any]:
    """The file, all boxes checked."""
    if require_regular_file(path).st_size > FILE_LIMIT:
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
    numbers = [n for n in box if isinstance(n, int | float) and math.isfinite(n) and abs(n) <= LARGEST]
    return len(numbers) == len(box) == 4 and min(numbers[2:]) >= 1
