"""What a run has done, for people and for programs, and a contact sheet of its clips."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mcnet_cli import __version__
from mcnet_cli.arrays import Picture
from mcnet_cli.errors import InputError, counted, shown
from mcnet_cli.face import CropBox, Framing, crop
from mcnet_cli.media import open_frames, read_image, write_image
from mcnet_cli.media.pictures import CAPTION_COLOURS, caption
from mcnet_cli.preprocessing.records import INDEX, Record

MAX_TABLE_ROWS = 40
PREVIEW_NAME = "preview.png"
PREVIEW_COLUMNS, THUMB_PX, LABEL_PX, GAP_PX = 6, 128, 16, 4
CLIPS_ACROSS = 2
MAX_PREVIEW_CLIPS = 200  # of more clips, so many are chosen evenly


@dataclass(frozen=True, slots=True)
class PreprocessReport:
    """A finished run.

    records: of the run's inputs in their order, except those that another shard has not done yet. worked_on:
    how many of them this run did; the others were done before. framing: of all clips.
    """

    output: Path
    records: tuple[Record, ...]
    worked_on: int
    seconds: float
    preview: Path | None
    framing: Framing

    @property
    def failures(self) -> list[Record]:
        """Records of files that could not be used."""
        return [record for record in self.records if record.failure]

    @property
    def damaged(self) -> list[Record]:
        """Records of files of which only part could be used."""
        return [record for record in self.records if record.is_damaged]

    @property
    def kept(self) -> list[dict[str, Any]]:
        """Rows of the index for clips and portraits."""
        return self._rows("kept")

    @property
    def dropped(self) -> Counter[str]:
        """The number of faces that were dropped for each reason."""
        return Counter(row["reason"] for row in self._rows("dropped"))

    def _rows(self, status: str) -> list[dict[str, Any]]:
        return [row for record in self.records for row in record.rows if row["status"] == status]

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "version": __version__,
            "output": str(self.output),
            "index": str(self.output / INDEX),
            "preview": None if self.preview is None else str(self.preview),
            "framing": self.framing.as_json(),
            "inputs": len(self.records),
            "done_before": len(self.records) - self.worked_on,
            "kept": len(self.kept),
            "frames": sum(row["frames"] for row in self.kept),
            "dropped": dict(sorted(self.dropped.items())),
            "damaged": len(self.damaged),
            "failed": [{"source": r.rows[0]["source"], "reason": r.failure} for r in self.failures],
            "seconds": round(self.seconds, 3),
        }

    def as_text(self) -> str:
        """A table of the inputs if there are not too many, and the sums."""
        kept, dropped = self.kept, self.dropped
        seconds = sum(row["frames"] / Fraction(row["fps"]) for row in kept if "fps" in row)
        lines = [*self._table()] if len(self.records) <= MAX_TABLE_ROWS else []
        frames = sum(row["frames"] for row in kept)
        counts = f"{counted(len(kept), 'clip')}, {counted(frames, 'frame')}"
        lines.append(f"kept {counts}, {float(seconds) / 60:.1f} minutes")
        if dropped:
            each = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
            lines.append(f"dropped {dropped.total()}: {each}")
        if self.failures:
            lines.append(f"failed {len(self.failures)} of {counted(len(self.records), 'input')}")
        before = len(self.records) - self.worked_on
        rate = f" ({60 * self.worked_on / self.seconds:.1f} a minute)" if self.worked_on else ""
        lines.append(
            f"{counted(self.worked_on, 'input')} in {self.seconds:.1f} s{rate}"
            + (f", {before} done before" if before else "")
        )
        lines.append(f"crop: {self.framing}")
        lines.append(shown(self.output / INDEX))
        return "\n".join(lines)

    def _table(self) -> list[str]:
        """One line per input: tubes kept, frames, tubes dropped, and the reasons."""
        table = [("input", "kept", "frames", "dropped", "why")]
        for record in self.records:
            kept = [row for row in record.rows if row["status"] == "kept"]
            others = [row for row in record.rows if row["status"] != "kept"]
            why = Counter(row["status"] if record.failure else row["reason"] for row in others)
            reasons = ", ".join(
                reason if count == 1 else f"{count} {reason}" for reason, count in why.items()
            )
            frames = sum(row["frames"] for row in kept)
            table.append((shown(record.name), str(len(kept)), str(frames), str(len(others)), reasons))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return [
            "  ".join((name.ljust(widths[0]), *map(str.rjust, numbers, widths[1:]), why)).rstrip()
            for name, *numbers, why in table
        ]


@dataclass(frozen=True, slots=True)
class PreprocessPlan:
    """What a run would do."""

    output: Path
    waiting: tuple[Path, ...]
    done: int

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "version": __version__,
            "output": str(self.output),
            "dry_run": True,
            "waiting": [str(path) for path in self.waiting],
            "done_before": self.done,
        }

    def as_text(self) -> str:
        """One line per input that is left to do, and the sums."""
        names = [shown(path) for path in self.waiting]
        sums = f"{counted(len(names), 'input')} to work on, {self.done} done before; nothing was written"
        return "\n".join([*names, sums])


def write_preview(output: Path, rows: Sequence[dict[str, Any]]) -> Path | None:
    """Writes the contact sheet `output`/preview.png: some frames of each clip side by side, with its name.

    Returns None and writes no file if there are no clips.
    """
    kept = [row for row in rows if row["status"] == "kept"]
    if not kept:
        return None
    chosen = [
        kept[i]
        for i in np.unique(np.linspace(0, len(kept) - 1, min(len(kept), MAX_PREVIEW_CLIPS)).astype(int))
    ]
    width, height = PREVIEW_COLUMNS * THUMB_PX, THUMB_PX + LABEL_PX
    down = -(-len(chosen) // CLIPS_ACROSS)
    across = min(CLIPS_ACROSS, len(chosen))
    shape = (down * (height + GAP_PX), across * (width + GAP_PX), 3)
    sheet = np.full(shape, CAPTION_COLOURS[0], np.uint8)
    for index, row in enumerate(chosen):
        y, x = index // CLIPS_ACROSS * (height + GAP_PX), index % CLIPS_ACROSS * (width + GAP_PX)
        sheet[y : y + LABEL_PX, x : x + width] = caption(row["clip"], width, LABEL_PX)
        for column, picture in enumerate(_samples(output / row["clip"], row)):
            left = x + column * THUMB_PX
            sheet[y + LABEL_PX : y + height, left : left + THUMB_PX] = picture
    path = output / PREVIEW_NAME
    write_image(path, sheet, overwrite=True)
    return path


def _samples(clip: Path, row: dict[str, Any]) -> Iterator[Picture]:
    """Thumbnails of evenly chosen frames; fewer if the clip has been damaged since."""
    count = row["frames"]
    wanted = np.unique(np.linspace(0, count - 1, min(count, PREVIEW_COLUMNS)).astype(int)).tolist()
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
