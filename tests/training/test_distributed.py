"""Several processes that train one network: two of gloo on this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_tools import (
    PAINTER,
    PAPER,
    WITH_MOUTHS,
    environment,
    mcnet_train,
    options,
    write_clips,
    write_mouths,
)

from mcnet_cli.training.process_group import Launch, ProcessGroup

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
SETTINGS = options(base=PAPER)
pytestmark = pytest.mark.slow


def tensors_of(run: Path, step: int) -> dict[str, torch.Tensor]:
    folder = run / "checkpoints" / f"step-{step:08d}"
    return load_file(folder / "weights.safetensors") | load_file(folder / "state.safetensors")


def _share_of_a_batch(rank: int, size: int, folder: str, port: int) -> None:
    """Process `rank` of `size`: gradients and running means of a small network on its rows of one batch."""
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 3)
    )
    batch = torch.randn(4, 3, 8, 8)
    with ProcessGroup(Launch(rank, rank, size), torch.device("cpu")) as group:
        shared = group.parallel(network)
        for _ in range(2):
            network.zero_grad()
            shared(batch[rank::size]).square().mean().backward()
    found = {name: parameter.grad for name, parameter in network.named_parameters()}
    torch.save(found | dict(network.named_buffers()), Path(folder) / f"{size}-{rank}.pt")


def test_gradients_and_norms_of_two_processes_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _share_of_a_batch(0, 1, str(tmp_path), port)
    torch.multiprocessing.spawn(_share_of_a_batch, (2, str(tmp_path), port), nprocs=2)
    whole, one, other = (torch.load(tmp_path / name) for name in ("1-0.pt", "2-0.pt", "2-1.pt"))
    for name, tensor in whole.items():
        assert torch.equal(one[name], other[name]), name
        assert torch.allclose(one[name], tensor, atol=1e-6), name


def test_two_processes_do_what_one_does_with_the_double_batch(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", "abcd")
    once = ("--steps", "1", "--precision", "fp32")  # bfloat16 would round by 2 %
    alone = mcnet_train(clips, tmp_path / "one", *SETTINGS, "--set", "batch_size=4", *once)
    assert alone.returncode == 0, alone.stderr
    together = mcnet_train(
        clips, tmp_path / "two", *SETTINGS, "--set", "batch_size=2", *once, prefix=TORCHRUN
    )
    assert together.returncode == 0, together.stderr
    one, two = (tensors_of(tmp_path / name, 1) for name in ("one", "two"))
    # Adam's first moment is the gradient by half; its step would only show the gradient's sign
    compared = [name for name in one if name.endswith(".exp_avg") or "running_" in name]
    assert len(compared) > 50
    for name in compared:
        # sampling between pixels has a gradient that jumps: rounding shows in it
        assert torch.allclose(one[name], two[name], rtol=1e-2, atol=5e-2), name
    gradient, shared = (torch.cat([t[n].flatten() for n in compared if "exp_avg" in n]) for t in (one, two))
    assert (gradient - shared).norm() < 1e-2 * gradient.norm()
    rows = [json.loads(line) for line in (tmp_path / "two" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1]  # one writer


def test_an_error_of_one_process_ends_them_all(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", "ab")
    words = [*SETTINGS, "--set", "losses.separation=1e39", "--steps", "50"]
    done = mcnet_train(clips, tmp_path / "run", *words, prefix=TORCHRUN)
    assert done.returncode != 0
    assert "3 steps in a row were not finite" in done.stderr
    assert not list((tmp_path / "run").glob("checkpoints/step-*"))


def test_a_restarted_group_goes_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", "ab")
    run = tmp_path / "run"
    words = [*SETTINGS, "--steps", "40", "--set", "checkpoint_every=2"]
    command = [
        sys.executable,
        *TORCHRUN,
        *("--max-restarts", "1", "-m", "mcnet_cli"),
        *("train", str(clips), "-o", str(run)),
    ]
    child = subprocess.Popen(
        [*command, "--device", "cpu", *words], env=environment(), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 300
    while not list(run.glob("checkpoints/step-*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    holder = (run / ".lock").read_text().split()[1]
    os.kill(int(holder), signal.SIGKILL)
    _, said = child.communicate(timeout=300)
    assert child.returncode == 0, said
    assert tensors_of(run, 40)
    rows = [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()]
    assert rows == list(range(1, 41))


def test_one_of_two_processes_trains_the_painters_and_the_other_waits(tmp_path: Path) -> None:
    words = options("steps=2", *PAINTER, "painter.only=false", base=WITH_MOUTHS)
    done = mcnet_train(write_mouths(tmp_path / "clips"), tmp_path / "run", *words, prefix=TORCHRUN)
    assert done.returncode == 0, done.stderr
    assert "painter_mouths_discriminator" in (tmp_path / "run" / "log.jsonl").read_text()
    assert (tmp_path / "run" / "weights.safetensors").exists()
