"""Work of a GPU that is recorded once and replayed: one call starts what takes hundreds of them otherwise.

A network of many small layers keeps a GPU waiting for the processor, which has to launch each of them. A CUDA
graph holds the launches of a whole batch, with inputs and outputs at fixed places in its memory.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

from mcnet_cli.model.geometry import Keypoints

ComputeBatch = Callable[[Keypoints], tuple[Tensor, ...]]
# Records what a function does with keypoints; the result does the same with others, of the same number.
Record = Callable[[ComputeBatch, Keypoints], ComputeBatch]

RECORDINGS_KEPT = 4  # recordings, each of which holds a batch's feature maps
MAX_DIFFERENCE = 1e-4  # between values that are computed and replayed, which are in about [-1, 1]

log = logging.getLogger(__name__)


class Replays:
    """Computes batches. The second of a kind is recorded, and from the third on the recording is replayed.

    In the first one libraries choose their algorithms; and a film of one batch isn't worth recording. A
    recording is used only if a replay gives what was computed. Where none can be made, or it gives something
    else, all further batches are computed.

    record: None never records.
    """

    def __init__(self, record: Record | None) -> None:
        self._record = record
        self._recordings: OrderedDict[Hashable, ComputeBatch | None] = OrderedDict()

    @property
    def are_used(self) -> bool:
        """Whether anything is replayed by now."""
        return any(self._recordings.values())

    def __call__(self, kind: Hashable, compute: ComputeBatch, motion: Keypoints) -> tuple[Tensor, ...]:
        """What `compute` gives. kind: all that it depends on besides the values of the motion."""
        if self._record is None:
            return compute(motion)
        recording = self._recordings.get(kind)
        if recording is not None:
            self._recordings.move_to_end(kind)
            return recording(motion)
        computed = compute(motion)
        if kind in self._recordings:
            if (recording := self._recorded(self._record, compute, motion, computed)) is not None:
                self._recordings[kind] = recording
        else:
            self._recordings[kind] = None
            while len(self._recordings) > RECORDINGS_KEPT:
                self._recordings.popitem(last=False)
        return computed

    def forget(self) -> None:
        """Gives back the memory of all recordings."""
        self._recordings.clear()

    def _recorded(
        self, record: Record, compute: ComputeBatch, motion: Keypoints, computed: tuple[Tensor, ...]
    ) -> ComputeBatch | None:
        try:
            recording = record(compute, motion)
            replayed = recording(motion)
        except RuntimeError as error:  # of the memory, or of something that can't be recorded
            reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        else:
            pairs = zip(computed, replayed, strict=True)
            if all(torch.allclose(one, other, rtol=0, atol=MAX_DIFFERENCE) for one, other in pairs):
                return recording
            reason = "a replay differs"
        log.debug("the network isn't recorded: %r", reason)
        self._record = None
        self.forget()
        return None


def cuda_graph(compute: ComputeBatch, motion: Keypoints) -> ComputeBatch:
    """A `Record` by a CUDA graph. RuntimeError if `compute` asks the GPU something, or the memory is full.

    compute: opens autocast itself, whose casts of weights would otherwise be gone before the replay.
    """
    given, device, graph = motion.map(torch.clone), motion.values.device, torch.cuda.CUDAGraph()
    current = torch.cuda.current_stream(device)
    beside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    beside.wait_stream(current)
    with torch.cuda.stream(beside):
        compute(given)
    current.wait_stream(beside)
    # other threads may go on with what would disturb a recording by the same thread
    with torch.cuda.device(device), torch.cuda.graph(graph, stream=beside, capture_error_mode="thread_local"):
        found = compute(given)

    def replay(motion: Keypoints) -> tuple[Tensor, ...]:
        given.values.copy_(motion.values)
        if given.jacobians is not None and motion.jacobians is not None:
            given.jacobians.copy_(motion.jacobians)
        graph.replay()
        return tuple(values.clone() for values in found)  # the next replay overwrites them

    return replay
