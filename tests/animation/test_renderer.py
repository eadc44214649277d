"""Several batches under way at once: in order, bounded, and without traces."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from animation_tools import NO_CROP, rendered, write_moving_clip, write_photo, write_tiny

from mcnet_cli.animation.renderer import BATCH, Renderer
from mcnet_cli.checkpoint import read_weights
from mcnet_cli.compositing import SourceLayers
from mcnet_cli.devices import choose
from mcnet_cli.errors import SystemFailure
from mcnet_cli.model import Keypoints, SourceState


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("w") / "w.safetensors")


@pytest.fixture
def engine(weights: Path) -> Renderer:
    made = Renderer(read_weights(weights), choose("cpu", "fp32"))
    made.workers = 3
    return made


def test_results_come_in_order_and_few_are_under_way(engine: Renderer) -> None:
    started: list[int] = []

    def work(item: int) -> int:
        started.append(item)
        time.sleep(0.02 * (item % 3 == 0))  # every third is late
        return 10 * item

    for number, result in enumerate(engine.in_order(work, range(20))):
        assert result == 10 * number
        assert len(started) <= number + engine.workers + 1
    assert sorted(started) == list(range(20))


def test_an_error_comes_out_where_it_happened_and_ends_the_work(engine: Renderer) -> None:
    threads: set[threading.Thread] = set()

    def work(item: int) -> int:
        threads.add(threading.current_thread())
        if item == 2:
            raise ZeroDivisionError
        return item

    results = engine.in_order(work, range(1000))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not any(thread.is_alive() for thread in threads)


def test_whoever_stops_early_leaves_no_thread_and_torch_as_it_was(engine: Renderer) -> None:
    def threads_of_another() -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.get_num_threads).result()

    threads: set[threading.Thread] = set()

    def work(_: int) -> int:
        threads.add(threading.current_thread())
        return torch.get_num_threads()

    before = torch.get_num_threads()
    torch.set_num_threads(7)
    try:
        results = engine.in_order(work, range(100))
        assert next(results) == 3  # seven threads for three workers, and none idle
        results.close()
        assert torch.get_num_threads() == threads_of_another() == 7
        assert not any(thread.is_alive() for thread in threads)
    finally:
        torch.set_num_threads(before)


def test_workers_share_the_cores_only_where_nobody_asked_for_other_batches(weights: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        read, compute = read_weights(weights), choose("cpu", "fp32")
        engine = Renderer(read, compute)
        assert (engine.workers, engine.batch_size) == (2, BATCH)
        assert Renderer(read, compute, batch_size=BATCH).workers == 1
    finally:
        torch.set_num_threads(before)


def test_the_number_of_workers_does_not_show(weights: Path, tmp_path: Path) -> None:
    source, driving = write_photo(tmp_path / "photo.png"), write_moving_clip(tmp_path / "clip.mp4")
    before, films = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            films.append(rendered(tmp_path, source, driving, weights=str(weights), **NO_CROP))
    finally:
        torch.set_num_threads(before)
    assert np.abs(films[0].astype(int) - films[1]).max() <= 1
    assert films[0].std(0).max() > 5  # it does move


def with_little_memory(renderer: Renderer, most: int) -> list[int]:
    """Lets a renderer's device run out of memory at more than so many frames; the batches that it tries."""
    compute, tried = renderer._frames, []

    def frames(state: SourceState, layers: SourceLayers, motion: Keypoints) -> tuple[torch.Tensor, ...]:
        tried.append(len(motion))
        if len(motion) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return compute(state, layers, motion)

    renderer._frames = frames  # type: ignore[method-assign]
    return tried


def test_what_the_memory_of_a_gpu_doesnt_hold_is_computed_in_parts(
    weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    renderer = Renderer(read_weights(weights), choose("cpu", "fp32"), batch_size=7)
    pictures = [*np.random.default_rng(0).integers(0, 255, (8, renderer.size, renderer.size, 3), np.uint8)]
    source, motion = renderer.encode_source(pictures[0]), renderer.detect_keypoints(pictures[1:])
    expected = renderer.render(source, motion)
    tried = with_little_memory(renderer, 2)
    assert np.abs(renderer.render(source, motion).astype(int) - expected).max() <= 1
    assert tried == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert renderer.render(source, motion[:2]).shape[0] == 2
    assert [record.getMessage().partition(",")[0] for record in caplog.records] == [
        "the GPU's memory doesn't hold 7 frames",
        "the GPU's memory doesn't hold 3 frames",
    ]


def test_a_gpu_that_doesnt_hold_a_single_frame_is_a_system_failure(weights: Path) -> None:
    renderer = Renderer(read_weights(weights), choose("cpu", "fp32"), batch_size=2)
    picture = np.zeros((renderer.size, renderer.size, 3), np.uint8)
    source, motion = renderer.encode_source(picture), renderer.detect_keypoints([picture, picture])
    with_little_memory(renderer, 0)
    with pytest.raises(SystemFailure, match="single frame") as caught:
        renderer.render(source, motion)
    assert "--device cpu" in (caught.value.hint or "")
