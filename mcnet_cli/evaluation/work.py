"""The work on the pairs of one driving in one row of the report, as every engine does it."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from mcnet_cli.checkpoint import read_weights
from mcnet_cli.devices import choose, limit_threads
from mcnet_cli.engines import MAX_ATTEMPTS, Tell, Work
from mcnet_cli.errors import InputError
from mcnet_cli.evaluation.folder import Strips
from mcnet_cli.evaluation.measures import ClipMeter, Instruments, choose_instruments
from mcnet_cli.evaluation.pairs import MovedPair, OnFrame, Pair, PairMover, PairMovers, unmoved
from mcnet_cli.evaluation.report import ClipResult, Failed, WeightsFacts
from mcnet_cli.evaluation.request import RECONSTRUCTION, EvaluationRequest, Settings

PairNews = tuple[tuple[int, int], int]  # a pair by its row and number, and how many of its frames are made


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A row of the report before it is measured; without weights the source is shown unmoved."""

    protocol: str
    name: str
    weights: Path | None
    settings: Settings


@dataclass(frozen=True, slots=True)
class Task:
    """Pairs of one driving in the row `row`, by their numbers in the row."""

    row: int
    pairs: tuple[tuple[int, Pair], ...]


@dataclass(frozen=True, slots=True)
class RowNetwork:
    """What a report says of a row's network: its pictures' size, where keypoints come from, its cost."""

    size: int
    keypoints: str
    facts: WeightsFacts | None


@dataclass(frozen=True, slots=True)
class Measured:
    """What has become of a task's pairs, by their numbers. network: None if no process survived the task."""

    network: RowNetwork | None
    pairs: Mapping[int, ClipResult | Failed]


@dataclass(eq=False)
class WorkState:
    """What a process measures with. sizes: of networks that it has seen, by their files."""

    instruments: Instruments
    movers: PairMovers
    sizes: dict[Path, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PairWork(Work[Task, WorkState, Measured]):
    """Moves and measures pairs. strips: where pictures of them are kept, None if nobody looks at them."""

    request: EvaluationRequest
    rows: tuple[PlannedRow, ...]
    strips: Strips | None
    threads: int = 1

    @property
    def uses_gpu(self) -> bool:
        """Whether networks run on a GPU."""
        return choose(self.request.device, self.request.precision).device.type == "cuda"

    def prepare(self) -> WorkState:
        """The instruments; the process uses its share of the processors, if not less is asked for."""
        limit_threads(self.threads)
        compute = choose(self.request.device, self.request.precision)
        return WorkState(choose_instruments(self.request, compute), PairMovers(self.request, compute))

    def do(self, item: Task, state: WorkState, tell: Tell) -> Measured:
        """Measures pairs. Tells after each frame how many of its pair have been made (`PairNews`)."""
        row = self.rows[item.row]
        mover = None if row.weights is None else state.movers.of(row.protocol, row.weights, row.settings)
        if mover is not None and row.weights is not None:
            state.sizes[row.weights] = mover.size
        network = RowNetwork(
            size=self._size(row, state),
            keypoints=mover.keypoints if mover else "none",
            facts=mover.facts if mover else None,
        )
        measured: dict[int, ClipResult | Failed] = {}
        for number, pair in item.pairs:
            on_frame = _telling(tell, (item.row, number))
            on_frame(0)
            try:
                moved = self._moved(row, mover, pair, network.size, on_frame)
                measured[number] = self._measured(item.row, number, pair, moved, state.instruments, on_frame)
            except InputError as error:
                measured[number] = Failed(pair.source.name, pair.driving.name, str(error))
        return Measured(network, measured)

    def note_crash(self, item: Task) -> Measured:
        """Pairs whose process died in every attempt count as bad clips."""
        reason = f"the process that measured it died, {MAX_ATTEMPTS} times"
        failed = {
            number: Failed(pair.source.name, pair.driving.name, f"{pair.driving.name}: {reason}")
            for number, pair in item.pairs
        }
        return Measured(None, failed)

    def note_fault(self, item: Task, error: Exception) -> Measured:
        """A fault of the program ends the run."""
        raise error

    def _size(self, row: PlannedRow, state: WorkState) -> int:
        """That of the row's pictures; of a copy, that of the first row's."""
        if row.weights is None:
            row = self.rows[0]
        assert row.weights is not None
        if row.settings.size is None and row.weights not in state.sizes:
            state.sizes[row.weights] = read_weights(row.weights).config.size
        return row.settings.size or state.sizes[row.weights]

    def _moved(
        self, row: PlannedRow, mover: PairMover | None, pair: Pair, size: int, on_frame: OnFrame
    ) -> MovedPair:
        if mover is None:
            return unmoved(pair, self.request, size)
        return mover.move(pair, row.protocol, row.settings, on_frame)

    def _measured(
        self, row: int, number: int, pair: Pair, moved: MovedPair, instruments: Instruments, on_frame: OnFrame
    ) -> ClipResult:
        protocol = self.rows[row].protocol
        names = instruments.wanted[protocol]
        meter, done = ClipMeter(instruments, names, moved.source, truth=protocol == RECONSTRUCTION), 0
        with closing(moved.frames()) as frames:
            for real, made in frames:
                meter.add(real, made)
                if self.strips is not None and done == moved.count // 2:
                    self.strips.keep(row, number, moved.source, real, made)
                done += 1
                on_frame(done)
        return ClipResult(
            source=pair.source.name,
            driving=pair.driving.name,
            frames=done,
            no_face=moved.no_face,
            faceless=meter.faceless,
            damaged=moved.damaged,
            figures=meter.figures(),
        )


def _telling(tell: Tell, pair: tuple[int, int]) -> OnFrame:
    def tell_frames(made: int) -> None:
        news: PairNews = pair, made
        tell(news)

    return tell_frames


def tasks_of(rows: Sequence[PlannedRow], pairs: Mapping[str, Sequence[Pair]]) -> list[Task]:
    """All pairs of all rows, those of one driving together.

    Rows of equal names follow each other: they need the same network and motions.
    """
    names = list(dict.fromkeys(row.name for row in rows))
    tasks = []
    for number in sorted(range(len(rows)), key=lambda number: names.index(rows[number].name)):
        drivings: dict[Path, list[tuple[int, Pair]]] = {}
        for place, pair in enumerate(pairs[rows[number].protocol]):
            drivings.setdefault(pair.driving.path, []).append((place, pair))
        tasks += [Task(number, tuple(together)) for together in drivings.values()]
    return tasks
