"""Checkpoints: whole or not there, the last few and the best, and all that a run depends on."""

import logging
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from mcnet_cli.errors import InputError, SystemFailure
from mcnet_cli.training import checkpoints
from mcnet_cli.training.checkpoints import (
    Checkpoint,
    load_latest,
    optimizer_tensors,
    random_tensors,
    restore_optimizer,
    restore_random,
    save_checkpoint,
)


def checkpoint(step: int, *, score: float | None = None, weight: float = 1.0) -> Checkpoint:
    return Checkpoint(
        {"model.w": torch.full((3,), weight)},
        {"ema.w": torch.tensor(float(step))},
        {"step": step, "score": score},
    )


def save(folder: Path, *steps: int, **more: float | None) -> None:
    for step in steps:
        save_checkpoint(folder, checkpoint(step, **more), keep=2)  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_latest_is_the_highest_step(tmp_path: Path) -> None:
    assert load_latest(tmp_path) is None
    save(tmp_path, 9, 100)
    found = load_latest(tmp_path)
    assert found is not None
    assert found.facts["step"] == 100
    assert found.state["ema.w"] == 100.0
    assert names(tmp_path) == ["step-00000009", "step-00000100"]


def test_the_last_two_and_the_best_are_kept(tmp_path: Path) -> None:
    for step, score in ((1, 0.9), (2, 0.5), (3, 0.7), (4, 0.8), (5, None)):
        save(tmp_path, step, score=score)
    assert names(tmp_path) == ["step-00000002", "step-00000004", "step-00000005"]


@pytest.mark.parametrize("file", ["weights.safetensors", "state.safetensors", "facts.json"])
@pytest.mark.parametrize("harm", ["cut", "gone", "empty"])
def test_a_torn_checkpoint_is_warned_of_and_the_one_before_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str, harm: str
) -> None:
    save(tmp_path, 1, 2)
    path = tmp_path / "step-00000002" / file
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(b"" if harm == "empty" else path.read_bytes()[:-3])
    with caplog.at_level(logging.WARNING):
        found = load_latest(tmp_path)
    assert found is not None
    assert found.facts["step"] == 1
    assert "step-00000002 is damaged" in caplog.text


def test_if_all_are_torn_the_run_does_not_begin_anew(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "step-00000001" / "facts.json").write_text("{")
    with pytest.raises(InputError, match="no checkpoint"):
        load_latest(tmp_path)


def test_a_weight_that_is_not_finite_is_never_written(tmp_path: Path) -> None:
    save(tmp_path, 1)
    with pytest.raises(InputError, match=r"model\.w is not finite at step 2"):
        save(tmp_path, 2, weight=float("nan"))
    assert names(tmp_path) == ["step-00000001"]


def test_a_full_disk_leaves_the_earlier_checkpoints_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1, 2)

    def full(path: Path, *_: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write_tensors", full)
    with pytest.raises(SystemFailure, match="No space left"):
        save(tmp_path, 3)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


def test_what_a_killed_run_left_half_written_goes_with_the_next_checkpoint(tmp_path: Path) -> None:
    (tmp_path / ".step-00000007.part").mkdir()
    save(tmp_path, 8)
    assert names(tmp_path) == ["step-00000008"]


def test_an_old_checkpoint_that_cannot_be_deleted_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1, 2)
    real = checkpoints.shutil.rmtree

    def stubborn(path: Path, ignore_errors: bool = False) -> None:
        if Path(path).name == "step-00000001":
            assert ignore_errors
            return
        real(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(checkpoints.shutil, "rmtree", stubborn)
    save(tmp_path, 3)
    found = load_latest(tmp_path)
    assert found is not None and found.facts["step"] == 3


def test_all_generators_go_on_where_they_were(tmp_path: Path) -> None:
    def draws() -> list[float]:
        return [
            random.gauss(0, 1),
            random.random(),
            np.random.normal(),
            np.random.rand(),
            torch.rand(1).item(),
        ]

    draws()
    save_checkpoint(tmp_path, Checkpoint({}, random_tensors(), {"step": 1}), keep=2)
    expected = draws()
    found = load_latest(tmp_path)
    assert found is not None
    restore_random(found.state)
    assert draws() == expected


def test_adam_goes_on_where_it_was() -> None:
    torch.manual_seed(0)
    target = torch.randn(4)

    def optimizer_of(weight: torch.Tensor) -> torch.optim.Adam:
        return torch.optim.Adam([weight], 0.1, betas=(0.5, 0.999))

    def steps(weight: torch.Tensor, optimizer: torch.optim.Adam, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            (weight - target).square().sum().backward()
            optimizer.step()

    whole = torch.zeros(4, requires_grad=True)
    steps(whole, optimizer_of(whole), 6)
    first = torch.zeros(4, requires_grad=True)
    optimizer = optimizer_of(first)
    steps(first, optimizer, 3)
    second = first.detach().clone().requires_grad_()
    again = optimizer_of(second)
    restore_optimizer("it", again, optimizer_tensors("it", optimizer))
    steps(second, again, 3)
    assert torch.equal(whole, second)
