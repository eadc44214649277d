"""Which pair of frames is the n-th of a run, and a stream of pairs that workers read ahead.

The n-th pair depends on the seed and n alone. So a resumed run needs one number to go on, each of k processes
takes every k-th number, and the number of workers changes nothing.
"""

import contextlib
import signal
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mcnet_cli.errors import InputError, McnetError, SystemFailure, shown
from mcnet_cli.face import OuterTracker
from mcnet_cli.face.topology import ALL_POINTS
from mcnet_cli.system import worker_start_method
from mcnet_cli.training.dataset import Clip
from mcnet_cli.training.frames import Array

MAX_TRIES = 10  # clips that are tried in place of one that can't be read


@dataclass(frozen=True, slots=True)
class TrainingContext:
    """What a loss may know of the run besides its batch.

    seed: the run's. step: from 0. progress: the share of the run that is done, in [0, 1].
    """

    seed: int
    step: int
    progress: float


def rng_of(seed: int, *numbers: int) -> np.random.Generator:
    """A random generator that depends on these numbers alone, so any part of a run can be repeated."""
    return np.random.default_rng((seed, *numbers))


@dataclass(frozen=True, slots=True)
class Pair:
    """Source and driving frame of one clip.

    number: of the pair in the run. source, driving: (S, S, 3) uint8. source_points, driving_points: (478, 2)
    float32 pixels, the outer points last, zeros where landmarks are not used.
    """

    number: int
    clip: str
    source: Array
    driving: Array
    source_points: Array
    driving_points: Array


@dataclass(frozen=True, slots=True)
class Draw:
    """A drawn pair, or the error that ends the run. problems: clips that couldn't be read, with reasons."""

    pair: Pair | None
    problems: dict[str, str]
    error: McnetError | None = None


class PairSampler:
    """Draws an identity, then one of its clips, then two frames of that clip.

    An epoch shows every identity `repeats` times, in random order. The two frames are drawn with replacement;
    the earlier one is the source, but in a share `time_flip` of the pairs the later one. In a share
    `expressive_share` the driving frame is instead the one of six whose mouth and lids differ most from the
    source's.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        seed: int,
        *,
        repeats: int = 1,
        expressive_share: float = 0.0,
        time_flip: float = 0.5,
    ) -> None:
        self.clips, self.seed, self.repeats = clips, seed, repeats
        self.expressive_share, self.time_flip = expressive_share, time_flip
        self._openings = [clip.openings for clip in clips]
        self._of_identity: dict[str, list[int]] = {}
        for number, clip in enumerate(clips):
            self._of_identity.setdefault(clip.identity, []).append(number)
        self._identities = list(self._of_identity)
        self._epoch, self._order = -1, np.zeros(0, int)

    @property
    def epoch_length(self) -> int:
        """Pairs in an epoch."""
        return len(self._identities) * self.repeats

    def draw(self, number: int) -> Draw:
        """The pair of this number; if its clip can't be read, one of another clip."""
        problems: dict[str, str] = {}
        for attempt in range(MAX_TRIES):
            clip, rng = self._clip(number, attempt)
            name = self.clips[clip].name
            try:
                return Draw(self._pair(number, clip, rng), problems)
            except InputError as error:
                problems[name] = str(error)
            except McnetError as error:
                return Draw(None, problems, error)
            except OSError as error:
                return Draw(None, problems, SystemFailure(f"can't read {shown(name)}: {error.strerror}"))
        return Draw(
            None, problems, InputError(f"{MAX_TRIES} clips in a row can't be read: {', '.join(problems)}")
        )

    def __getitem__(self, number: int) -> Draw:
        """`draw`, as torch's DataLoader calls it."""
        return self.draw(number)

    def _identity(self, number: int) -> str:
        epoch, place = divmod(number, self.epoch_length)
        if epoch != self._epoch:
            order = rng_of(self.seed, epoch, 0).permutation(self.epoch_length)
            self._epoch, self._order = epoch, order % len(self._identities)
        return self._identities[int(self._order[place])]

    def _clip(self, number: int, attempt: int) -> tuple[int, np.random.Generator]:
        rng = rng_of(self.seed, number, 1, attempt)
        other = self._identities[int(rng.integers(len(self._identities)))]
        clips = self._of_identity[other if attempt else self._identity(number)]
        return clips[int(rng.integers(len(clips)))], rng

    def _pair(self, number: int, chosen: int, rng: np.random.Generator) -> Pair:
        clip, openings = self.clips[chosen], self._openings[chosen]
        count = len(clip.frames)
        if openings is not None and rng.random() < self.expressive_share:
            source = int(rng.integers(count))
            candidates = rng.integers(count, size=6)
            driving = int(candidates[np.abs(openings[candidates] - openings[source]).sum(1).argmax()])
        else:
            source, driving = sorted(int(n) for n in rng.integers(count, size=2))
            if rng.random() < self.time_flip:
                source, driving = driving, source
        frames = np.asarray(clip.frames[source]), np.asarray(clip.frames[driving])
        points = [np.zeros((ALL_POINTS, 2), np.float32)] * 2
        if clip.points is not None:
            track = OuterTracker()
            points = [track(*seen) for seen in zip(frames, clip.points[[source, driving]], strict=True)]
        return Pair(number, clip.name, *frames, *points)


def stream(sampler: PairSampler, first: int, step: int, workers: int) -> Generator[Draw, None, None]:
    """The draws `first`, `first + step`, … without end; `workers` processes read ahead, in the same order.

    Close the generator to end the workers. If one of them dies, torch raises a RuntimeError, now or anywhere
    else in the main thread: see `workers_watched`.
    """
    numbers = iter(range(first, 2**62, step))
    if not workers:
        yield from map(sampler.draw, numbers)
        return
    import cv2
    import torch
    from torch.utils.data import DataLoader

    cv2.setNumThreads(0)  # its threads would be missing in forked workers, which then wait for them
    yield from DataLoader(
        sampler,  # type: ignore[arg-type]
        sampler=numbers,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=8,
        worker_init_fn=_leave_signals_to_the_parent,
        generator=torch.Generator(),  # lest the workers' seeds are drawn from the run's
        collate_fn=_as_it_is,  # type: ignore[arg-type]
        multiprocessing_context=worker_start_method(),
    )


def _as_it_is(draw: Draw) -> Draw:
    return draw


def _leave_signals_to_the_parent(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextlib.contextmanager
def workers_watched() -> Iterator[None]:
    """Turns the death of a worker into SystemFailure."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise SystemFailure(
            "a process that reads clips has died", hint="out of memory? take fewer with --set data.workers=1"
        ) from error
