"""A run from its first step to its last, in two tiny networks: resumed, averaged, guarded, repeatable."""

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from training_tools import LANDMARKS, PAPER, config, run_training, when, write_clips

from mcnet_cli.checkpoint import read_weights
from mcnet_cli.devices import Compute
from mcnet_cli.errors import InputError, UsageError
from mcnet_cli.media.clips import find_clips
from mcnet_cli.metrics import load_perceptual
from mcnet_cli.progress import Progress
from mcnet_cli.training import initial_weights
from mcnet_cli.training.augment import Batch, augment
from mcnet_cli.training.dataset import load_dataset
from mcnet_cli.training.learner import Learner
from mcnet_cli.training.process_group import Launch, ProcessGroup
from mcnet_cli.training.sampling import PairSampler, TrainingContext

CPU = Compute(torch.device("cpu"), torch.float32, "in tests")
BOTH = pytest.mark.parametrize("base", [LANDMARKS, PAPER], ids=["landmarks", "paper"])
PAPER_IS_SLOW = pytest.mark.parametrize(
    "base", [LANDMARKS, pytest.param(PAPER, marks=pytest.mark.slow)], ids=["landmarks", "paper"]
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def trained(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of two steps."""
    folder = tmp_path_factory.mktemp("trained")
    run_training(clips, folder, config("steps=2", "seed=1"))
    return folder


@pytest.fixture
def started(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, to go on with."""
    return shutil.copytree(trained, tmp_path / "started")


def checkpoint_of(run: Path, step: int) -> dict[str, Tensor]:
    folder = run / "checkpoints" / f"step-{step:08d}"
    return load_file(folder / "weights.safetensors") | load_file(folder / "state.safetensors")


def rows_of(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def learner_of(*changes: str, base: list[str] = LANDMARKS) -> Learner:
    return Learner(config(*changes, base=base), CPU, ProcessGroup(Launch(), CPU.device), None)


def batch_of(clips: Path, learner: Learner, count: int = 2, first: int = 0) -> Batch:
    data = load_dataset(find_clips(clips), learner.config, clips)
    pairs = [PairSampler(data.clips, 0).draw(number).pair for number in range(first, first + count)]
    return augment([pair for pair in pairs if pair], 64, learner.config.augment, 0, CPU.device)


@BOTH
def test_a_run_leaves_weights_that_explain_themselves(clips: Path, tmp_path: Path, base: list[str]) -> None:
    report = run_training(clips, tmp_path, config("steps=3", base=base), command="mcnet train clips")
    weights = read_weights(report.weights)
    assert weights.framing is not None
    assert weights.smooth is None
    assert weights.card["steps"] == 3
    assert weights.card["samples"] == 6
    assert weights.card["clips"] == 3
    assert weights.card["command"] == "mcnet train clips"
    assert weights.card["keypoints"] == ("landmarks" if base is LANDMARKS else "none")
    assert [row["step"] for row in rows_of(tmp_path)] == [1, 2, 3]
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["00000003.png", "contact.png"]


def test_tensorboard_gets_the_numbers_of_the_log(clips: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_training(clips, tmp_path, config("steps=3"))
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    shown = [event.value for event in board.Scalars("total")]
    assert shown == pytest.approx([row["total"] for row in rows_of(tmp_path)])


@pytest.mark.slow
@PAPER_IS_SLOW
def test_an_interrupted_run_goes_on_to_the_same_bits(clips: Path, tmp_path: Path, base: list[str]) -> None:
    settings = config("steps=5", "checkpoint_every=2", "optimizer.accumulate=2", base=base)
    run_training(clips, tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        run_training(clips, tmp_path / "parts", settings, when(3, lambda: signal.raise_signal(signal.SIGINT)))
    assert rows_of(tmp_path / "parts")[-1]["step"] in (
        3,
        4,
    )  # the step during which it came is finished and saved
    torch.rand(5)  # what others do with chance meanwhile is of no account
    run_training(clips, tmp_path / "parts", settings)
    whole, parts = (checkpoint_of(tmp_path / name, 5) for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    for name in whole:
        assert torch.equal(whole[name], parts[name]), name
    assert (tmp_path / "whole/weights.safetensors").read_bytes() == (
        tmp_path / "parts/weights.safetensors"
    ).read_bytes()
    assert [row["step"] for row in rows_of(tmp_path / "parts")] == [1, 2, 3, 4, 5]


def test_the_same_seed_makes_the_same_weights_and_another_does_not(
    clips: Path, trained: Path, tmp_path: Path
) -> None:
    for name, seed in (("again", 1), ("other", 2)):
        run_training(clips, tmp_path / name, config("steps=2", f"seed={seed}"))
    runs = (trained, tmp_path / "again", tmp_path / "other")
    one, again, other = ((run / "weights.safetensors").read_bytes() for run in runs)
    assert one == again != other


@pytest.mark.slow
def test_workers_that_read_ahead_change_nothing(clips: Path, tmp_path: Path) -> None:
    for workers in (0, 2):
        run_training(clips, tmp_path / str(workers), config("steps=3", f"data.workers={workers}"))
    one, other = (checkpoint_of(tmp_path / name, 3) for name in ("0", "2"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_finished_run_is_left_as_it_is(clips: Path, started: Path) -> None:
    before = (started / "checkpoints/step-00000002/state.safetensors").stat().st_mtime_ns
    assert run_training(clips, started, config("steps=2", "seed=1")).steps == 2
    assert (started / "checkpoints/step-00000002/state.safetensors").stat().st_mtime_ns == before


def test_resume_can_be_insisted_on_and_refused(clips: Path, started: Path, tmp_path: Path) -> None:
    settings = config("steps=1")
    with pytest.raises(UsageError, match="no checkpoint to go on with"):
        run_training(clips, tmp_path / "new", settings, resume=True)
    run_training(clips, tmp_path / "new", settings, resume=False)
    with pytest.raises(UsageError, match="holds a run already"):
        run_training(clips, started, settings, resume=False)


@pytest.mark.parametrize(
    "change", ["model.memory.width=4", "model.memory.condition=none"], ids=["shape", "condition"]
)
def test_a_run_of_another_architecture_is_refused(clips: Path, started: Path, change: str) -> None:
    with pytest.raises(UsageError, match="another architecture"):
        run_training(clips, started, config("steps=3", change))


def test_a_run_that_trains_in_another_way_is_refused(clips: Path, started: Path) -> None:
    left = [setting for setting in LANDMARKS if "landmarks=" not in setting and "losses." not in setting]
    with pytest.raises(UsageError, match="another architecture"):  # whose keypoints are no landmarks
        run_training(clips, started, config("steps=3", "keypoints.supervision=none", base=left))
    with pytest.raises(UsageError, match="trains something else"):
        run_training(clips, started, config("steps=3", "keypoints.freeze=true"))


@pytest.mark.parametrize(
    "condition",
    ["both", "none", *(pytest.param(c, marks=pytest.mark.slow) for c in ("keypoints", "features"))],
)
def test_all_four_conditions_of_the_memory_train(clips: Path, tmp_path: Path, condition: str) -> None:
    settings = config("steps=2", f"model.memory.condition={condition}", base=PAPER)
    weights = read_weights(run_training(clips, tmp_path, settings).weights)
    assert weights.config.memory.condition == condition


@PAPER_IS_SLOW
def test_training_lowers_the_loss_on_a_batch_that_it_sees_again(clips: Path, base: list[str]) -> None:
    learner = learner_of("learning_rate=0.01", "keypoints.detector_share=0", base=base)
    batch = batch_of(clips, learner)
    losses = [learner.update([batch], TrainingContext(0, 0, 0.5)).terms["total"] for _ in range(12)]
    assert losses[-1] < 0.9 * losses[0]


def test_the_perceptual_network_of_the_offline_kind_takes_part(clips: Path) -> None:
    for base, names in ((LANDMARKS, ["perceptual", "crop_perceptual"]), (PAPER, ["perceptual"])):
        settings = config(*(f"losses.{name}=1" for name in names), base=base)
        learner = Learner(settings, CPU, ProcessGroup(Launch(), CPU.device), load_perceptual())
        terms = learner.update([batch_of(clips, learner)], TrainingContext(0, 1, 0.5)).terms
        assert {name for name in terms if "perceptual" in name} == set(names)


def test_a_gan_term_trains_its_discriminator(clips: Path) -> None:
    learner = learner_of("losses.gan=1", "model.size=128", base=[s for s in PAPER if s != "model.size=64"])
    assert learner.discriminator is not None
    before = [parameter.clone() for parameter in learner.discriminator.parameters()]
    batch = batch_of(clips, learner)
    step = learner.update([batch], TrainingContext(0, 0, 0.0))
    assert {"gan", "feature_matching", "discriminator"} <= step.terms.keys()
    assert all(not torch.equal(p, b) for p, b in zip(learner.discriminator.parameters(), before, strict=True))
    assert "discriminator.discs.1.conv.weight" in learner.checkpoint({}).weights


@pytest.mark.slow
def test_the_gradient_of_accumulated_batches_is_the_mean_of_theirs(clips: Path) -> None:
    def gradient(numbers: list[int]) -> Tensor:
        learner = learner_of("optimizer.clip_norm=1e6", base=PAPER)
        batches = [batch_of(clips, learner, first=first) for first in numbers]
        assert learner.update(batches, TrainingContext(0, 0, 0.0)).bad is None
        return torch.cat([p.grad.flatten() for p in learner.model.parameters() if p.grad is not None])

    apart = (gradient([0]) + gradient([2])) / 2
    assert torch.allclose(gradient([0, 2]), apart, atol=1e-6)


@pytest.mark.slow
def test_a_pixel_that_shows_no_person_counts_as_much_as_it_is_said_to(clips: Path) -> None:
    def terms(share: float | None, *changes: str) -> dict[str, float]:
        learner = learner_of("losses.openings=0", *changes)
        batch = batch_of(clips, learner)
        if share is not None:
            matte = torch.full_like(batch.driving[:, :1], share)
            batch = replace(batch, source_people=matte, driving_people=matte)
        return learner.update([batch], TrainingContext(0, 0, 0.0)).terms

    pictures = ("pixel", "decoded_pixel", "warped_pixel")
    without, nobody, everybody = terms(None), terms(0.0), terms(1.0)
    assert nobody["keypoints"] == everybody["keypoints"] == without["keypoints"]
    less = [0.2 * without[name] for name in pictures]
    assert [nobody[name] for name in pictures] == pytest.approx(less, rel=1e-4)
    assert [everybody[name] for name in pictures] == pytest.approx([without[name] for name in pictures])
    assert all(terms(0.0, "losses.background=0")[name] == 0 for name in pictures)


def test_a_person_must_go_where_the_driving_shows_it(clips: Path) -> None:
    learner = learner_of("learning_rate=0")
    batch = batch_of(clips, learner)
    here, there = torch.zeros_like(batch.driving[:, :1]), torch.zeros_like(batch.driving[:, :1])
    here[..., 8:32], there[..., 12:36] = 1, 1
    still = replace(batch, driving=batch.source, driving_points=batch.source_points, source_people=here)
    terms = [
        learner.update([replace(still, driving_people=people)], TrainingContext(0, 0, 0.0)).terms
        for people in (here, there)
    ]
    assert terms[0]["person_outline"] < 0.01 and terms[0]["person_pixel"] < 0.02
    assert terms[1]["person_outline"] == pytest.approx(8 / 64, abs=0.02)


def test_a_step_that_is_not_finite_changes_nothing_and_names_the_term(clips: Path) -> None:
    learner = learner_of("output.log_every=1")
    batch = batch_of(clips, learner)
    broken = Batch(*(getattr(batch, name) for name in Batch.__slots__))
    broken.source[0, 0, 0, 0] = float("nan")
    before = {name: tensor.clone() for name, tensor in learner.checkpoint({}).weights.items()}
    step = learner.update([broken], TrainingContext(0, 0, 0.0))
    assert step.bad == "keypoints"
    after = learner.checkpoint({}).weights
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), name  # the running means of batch norms, too


def test_three_bad_steps_in_a_row_end_the_run_and_the_log_names_the_clips(clips: Path, started: Path) -> None:
    with pytest.raises(InputError, match="3 steps in a row") as failure:
        run_training(clips, started, config("steps=9", "losses.pixel=1e39"))
    assert "pixel" in str(failure.value)
    skipped = [row for row in rows_of(started) if "bad_term" in row]
    assert [row["skipped"] for row in skipped] == [1, 2, 3]
    assert all(set(row["clips"]) <= {"a.mp4", "b.mp4", "c.mp4"} for row in skipped)  # type: ignore[call-overload]
    assert [path.name for path in sorted((started / "checkpoints").iterdir())] == ["step-00000002"]


@pytest.mark.slow
def test_the_result_is_a_moving_average_and_without_decay_the_weights_themselves(
    clips: Path, tmp_path: Path
) -> None:
    for decay, same in (("0.9", False), ("0", True)):
        run_training(clips, tmp_path / decay, config("steps=2", f"optimizer.ema={decay}"))
        tensors = checkpoint_of(tmp_path / decay, 2)
        name = "generator.first.conv.weight"
        assert torch.equal(tensors[f"ema.{name}"], tensors[f"model.{name}"]) is same


def test_frozen_keypoints_stay_and_the_rest_learns(clips: Path, trained: Path, tmp_path: Path) -> None:
    settings = config("steps=3", "keypoints.freeze=true")
    weights = initial_weights(str(trained / "weights.safetensors"))
    tuned = read_weights(run_training(clips, tmp_path, settings, init=weights).weights)
    changed = {name for name, tensor in weights.state.items() if not torch.equal(tensor, tuned.state[name])}
    assert "generator.first.conv.weight" in changed
    assert not [name for name in changed if name.startswith("kp_detector.")]
    assert tuned.card["init"] == "weights.safetensors"


def test_trained_further_weights_ask_for_the_framing_and_smoothing_of_before(
    clips: Path, trained: Path, tmp_path: Path
) -> None:
    first = initial_weights(str(trained / "weights.safetensors"))
    asked = replace(first, framing={"face_height": 0.4, "center_x": 0.5, "center_y": 0.5}, smooth=0.7)
    more = read_weights(run_training(clips, tmp_path, config("steps=1"), init=asked).weights)
    assert (more.framing, more.smooth) == (asked.framing, 0.7)


def test_weights_of_another_architecture_are_refused_as_a_beginning(
    clips: Path, trained: Path, tmp_path: Path
) -> None:
    weights = initial_weights(str(trained / "weights.safetensors"))
    with pytest.raises(UsageError, match="another architecture"):
        run_training(clips, tmp_path, config("steps=1", "model.memory.width=4"), init=weights)


@pytest.mark.slow
def test_held_out_clips_are_measured_and_the_best_checkpoint_is_kept(clips: Path, tmp_path: Path) -> None:
    settings = config("steps=5", "checkpoint_every=1", "learning_rate=0", "output.keep=2")
    report = run_training(clips, tmp_path, settings, held_out=clips)
    assert set(report.figures) == {"error_over_copy", "mouth_over_copy"}
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    facts = [json.loads((tmp_path / "checkpoints" / name / "facts.json").read_text()) for name in kept]
    measured = [
        row["validation_error_over_copy"] for row in rows_of(tmp_path) if "validation_error_over_copy" in row
    ]
    assert len(measured) == 5
    assert min(fact["score"] for fact in facts) == min(measured)
    assert kept[-2:] == ["step-00000004", "step-00000005"]
    assert len(kept) == 2 + (np.argmin(measured) < 3)


def test_a_dataset_with_a_test_part_is_trained_without_it_and_measured_on_it(
    clips: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for part in ("train", "test"):
        shutil.copytree(clips, data / part)
    (data / "test" / "c.mp4").unlink()
    report = run_training(data, tmp_path / "run", config("steps=1"))
    assert report.clips == 3
    assert set(report.figures) == {"error_over_copy", "mouth_over_copy"}


@pytest.mark.slow
def test_synthetic_heads_join_the_clips_and_are_drawn_once(clips: Path, tmp_path: Path) -> None:
    settings = config("steps=1", "data.synthetic_frames=3")
    report = run_training(clips, tmp_path, settings, synthetic=2)
    assert report.clips == 5
    card = read_weights(report.weights).card
    assert (card["clips"], card["synthetic_clips"]) == (3, 2)
    drawn = {path: path.stat().st_mtime_ns for path in (tmp_path / "synthetic").iterdir()}
    assert len(drawn) == 4
    run_training(clips, tmp_path, config("steps=2", "data.synthetic_frames=3"), synthetic=2)
    assert drawn == {path: path.stat().st_mtime_ns for path in (tmp_path / "synthetic").iterdir()}


def test_synthetic_heads_are_enough_to_train_on(tmp_path: Path) -> None:
    report = run_training(None, tmp_path, config("steps=1", "data.synthetic_frames=3"), synthetic=2)
    card = read_weights(report.weights).card
    assert (card["clips"], card["synthetic_clips"]) == (0, 2)


def test_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to train on"):
        run_training(None, tmp_path / "run", config("steps=1"))
    assert not (tmp_path / "run").exists()


def test_progress_of_a_run_in_minutes_counts_steps(clips: Path, tmp_path: Path) -> None:
    steps: list[Progress] = []

    def listen(progress: Progress) -> None:
        if progress.unit.startswith("steps"):
            steps.append(progress)

    settings = config("schedule.minutes=0.01", "steps=0")
    run_training(clips, tmp_path, settings, listen)
    assert [step.done for step in steps] == list(range(1, len(steps) + 1))
    assert all(step.total and step.total >= step.done for step in steps)
    assert steps[-1].done == steps[-1].total
