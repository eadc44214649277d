"""What a run says of itself: `log.jsonl`, one object a line, and TensorBoard's files if it is installed."""

import importlib.util
import json
from pathlib import Path
from typing import Any

from mcnet_cli.files import atomic_output


class Journal:
    """Rows of numbers, gathered over some steps each. writes: whether this process is the one that does."""

    def __init__(self, run: Path, *, writes: bool = True) -> None:
        self.path, self.writes = run / "log.jsonl", writes
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._board: Any = None
        if writes and importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(run / "tensorboard"))

    def forget_after(self, step: int) -> None:
        """Removes rows of later steps: a run that goes on from a checkpoint repeats them."""
        if not (self.writes and self.path.is_file()):
            return
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        kept = [line for line in lines if _step(line) <= step]
        if kept != lines:
            with atomic_output(self.path, overwrite=True) as part:
                part.write_text("".join(kept), encoding="utf-8")

    def gather(self, terms: dict[str, float]) -> None:
        """Adds a step's numbers to the row that is being made."""
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def mean(self, name: str) -> float:
        """The mean so far of what will be in the next row; not a number if there is nothing yet."""
        return self._sums[name] / self._counts[name] if name in self._sums else float("nan")

    def means(self) -> dict[str, float]:
        """The means of what was gathered since the last time."""
        found = {name: round(total / self._counts[name], 5) for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return found

    def write(self, row: dict[str, Any]) -> None:
        """Appends a row, which has at least `step`."""
        if not self.writes:
            return
        with open(self.path, "a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        if self._board is not None:
            for name, value in row.items():
                if name != "step" and isinstance(value, int | float):
                    self._board.add_scalar(name, value, row["step"])

    def close(self) -> None:
        """Ends TensorBoard's file."""
        if self._board is not None:
            self._board.close()


def _step(line: str) -> float:
    """The step of a row; endless for what is no row, such as the half line of a killed run."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
