"""What was done, for people and for programs."""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mcnet_cli import __version__
from mcnet_cli.errors import shown
from mcnet_cli.face import Framing
from mcnet_cli.preprocessing.records import INDEX, Record

LONGEST_TABLE = 40


@dataclass(frozen=True, slots=True)
class PreprocessReport:
    """A finished run.

    records: of the run's inputs, in their order, as far as they are there (others may be another shard's).
    worked_on: how many of them this run did; the others were done before. framing: of all clips.
    """

    output: Path
    records: tuple[Record, ...]
    worked_on: int
    seconds: float
    preview: Path | None
    framing: Framing

    @property
    def failures(self) -> list[Record]:
        """Files that could not be used."""
        return [record for record in self.records if record.failure]

    @property
    def damaged(self) -> list[Record]:
        """Files that could be used only in part."""
        return [record for record in self.records if record.is_damaged]

    @property
    def kept(self) -> list[dict[str, Any]]:
        """The rows of clips and portraits."""
        return self._rows("kept")

    @property
    def dropped(self) -> Counter[str]:
        """How many faces were dropped for each reason."""
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
        """A table of the inputs if there are few, and the sums."""
        kept, dropped = self.kept, self.dropped
        seconds = sum(row["frames"] / Fraction(row["fps"]) for row in kept if "fps" in row)
        lines = [*self._table()] if len(self.records) <= LONGEST_TABLE else []
        frames = sum(row["frames"] for row in kept)
        lines.append(f"kept {len(kept)} clips, {frames} frames, {float(seconds) / 60:.1f} minutes")
        if dropped:
            each = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
            lines.append(f"dropped {dropped.total()}: {each}")
        if self.failures:
            lines.append(f"failed {len(self.failures)} of {len(self.records)} inputs")
        before = len(self.records) - self.worked_on
        rate = f" ({60 * self.worked_on / self.seconds:.1f} a minute)" if self.worked_on else ""
        lines.append(
            f"{self.worked_on} inputs in {self.seconds:.1f} s{rate}"
            + (f", {before} were done before" if before else "")
        )
        lines.append(f"crop: {self.framing}")
        lines.append(shown(self.output / INDEX))
        return "\n".join(lines)

    def _table(self) -> list[str]:
        """One line an input: tubes kept, frames, tubes dropped, and why."""
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
        """One line an input that is left to do, and the sums."""
        names = [shown(path) for path in self.waiting]
        sums = f"{len(names)} inputs to work on, {self.done} done before; nothing was written"
        return "\n".join([*names, sums])
