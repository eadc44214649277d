"""Batches are recorded once and replayed, and computed where that can't be done or gives something else."""

import torch
from animation_tools import recorded
from torch import Tensor

from mcnet_cli.model import Keypoints
from mcnet_cli.model.replays import RECORDINGS_KEPT, ComputeBatch, Replays


def counting(calls: list[int]) -> ComputeBatch:
    def compute(motion: Keypoints) -> tuple[Tensor, ...]:
        calls.append(len(motion))
        return motion.values + 1, motion.values.sum()[None]

    return compute


def batch(value: float) -> Keypoints:
    return Keypoints(torch.full((2, 3, 2), value))


def test_batches_are_computed_once_recorded_then_replayed() -> None:
    made: list[ComputeBatch] = []

    def record(compute: ComputeBatch, motion: Keypoints) -> ComputeBatch:
        made.append(recorded(compute, motion))
        return made[-1]

    replays, calls = Replays(record), []
    for number in range(5):
        (found, total) = replays("one", counting(calls), batch(number))
        assert torch.equal(found, batch(number + 1).values) and float(total) == 12 * number
        assert (len(made), replays.are_used) == ((1, True) if number else (0, False))
    replays("other", counting(calls), batch(0))
    assert len(made) == 1


@torch.inference_mode()
def test_what_cannot_be_recorded_or_is_replayed_otherwise_is_computed() -> None:
    def refused(_compute: ComputeBatch, _motion: Keypoints) -> ComputeBatch:
        raise RuntimeError("operation not permitted when stream is capturing")

    def full(_compute: ComputeBatch, _motion: Keypoints) -> ComputeBatch:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def stale(compute: ComputeBatch, _motion: Keypoints) -> ComputeBatch:
        return lambda motion: compute(batch(99))

    for record in (refused, full, stale):
        replays, calls = Replays(record), []
        for number in range(4):
            assert torch.equal(replays("one", counting(calls), batch(number))[0], batch(number + 1).values)
        assert not replays.are_used


def test_few_recordings_are_kept_and_none_after_the_memory_was_full() -> None:
    replays, calls = Replays(recorded), []
    for kind in range(2 * RECORDINGS_KEPT):
        for _ in range(2):
            replays(kind, counting(calls), batch(0))
    assert len(replays._recordings) == RECORDINGS_KEPT
    replays.forget()
    assert not replays.are_used
