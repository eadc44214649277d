"""The benchmark: what it counts, that works take turns, and a whole small run."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import torch
from animation_tools import write_clip

from mcnet_cli.benchmark import BenchmarkRequest
from mcnet_cli.benchmark.measuring import Timing, operations, peak, seconds_of
from mcnet_cli.devices import choose
from mcnet_cli.errors import UsageError

CPU = torch.device("cpu")
STAGES = [
    "imports", "decode", "detection", "mesh", "eyes and lips", "hair flow", "source", "photo's layers",
    "dense motion", "memory", "decoder", "compositing", "encode",
]  # fmt: skip


def test_operations_of_products_and_convolutions_are_counted() -> None:
    matrix, picture, kernel = torch.rand(20, 30), torch.rand(2, 3, 16, 16), torch.rand(5, 3, 3, 3)
    assert operations(lambda: matrix @ matrix.T) == 2 * 20 * 30 * 20 / 1e9
    convolved = operations(lambda: torch.conv2d(picture, kernel, padding=1))
    assert convolved == 2 * 2 * 16 * 16 * 5 * 3 * 9 / 1e9


def test_works_take_turns_and_the_first_round_is_not_counted() -> None:
    done: list[str] = []
    walls, cpus = seconds_of([lambda: done.append("a"), lambda: done.append("b")], CPU, rounds=3)
    assert done == ["a", "b"] * 4
    assert walls.shape == cpus.shape == (2, 3)
    assert (walls > 0).all()


def test_a_timing_holds_medians_and_quartiles_of_one_unit() -> None:
    timing = Timing.of(np.array([0.2, 0.1, 0.5, 0.4, 0.3]), np.array([1.0, 3.0, 2.0]), units=10)
    assert [timing.low, timing.wall, timing.high, timing.cpu] == pytest.approx([20, 30, 40, 200])


def test_a_machine_has_a_peak() -> None:
    found = peak(choose("cpu", "fp32"))
    assert found.largest == max(found.matrix_product, found.convolution) > 0.1


@pytest.mark.parametrize("options", [{"frames": 1}, {"rounds": 0}])
def test_what_measures_nothing_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        BenchmarkRequest(**options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_driving_without_a_face_is_told_as_one(
    mcnet: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "grey.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 3)
    done = mcnet("benchmark", "--stages", "--rounds", "1", "--driving", clip, "--device", "cpu", "-q")
    assert done.returncode == 3
    assert "no face" in done.stderr


@pytest.mark.slow
def test_each_stage_is_measured(mcnet: Callable[..., CompletedProcess[str]]) -> None:
    done = mcnet("benchmark", "--stages", "--frames", "4", "--rounds", "1", "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert [stage["name"] for stage in report["stages"]] == STAGES
    assert all(stage["timing"]["wall"] > 0 for stage in report["stages"])
    counted = [stage for stage in report["stages"] if stage["gflop"]]
    assert len(counted) == 5
    for stage in counted:
        rate = 1000 * stage["gflop"] / stage["timing"]["wall"]
        peak = report["opencv_peak" if stage["name"] in ("mesh", "eyes and lips") else "peak"]
        assert stage["share"] == pytest.approx(rate / max(peak.values()))
    assert report["command"]["frames"] == 4
    assert report["command"]["size"] == [512, 512]
    assert report["network"]["speedup"] > 0
