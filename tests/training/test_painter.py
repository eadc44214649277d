"""The stages in which detail painters learn: mouths and eyes, what they change, going on after a stop."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor
from training_tools import PAINTER, WITH_MOUTHS, config, run_training, write_mouths

from mcnet_cli.checkpoint import build_model, read_weights
from mcnet_cli.devices import choose
from mcnet_cli.errors import InputError, UsageError
from mcnet_cli.media.clips import find_clips
from mcnet_cli.metrics import PerceptualDistance
from mcnet_cli.model import MCNet
from mcnet_cli.model.config import PainterConfig
from mcnet_cli.model.detail_paint import Painted
from mcnet_cli.model.detail_painter import MouthPainter
from mcnet_cli.model.eye_shape import EYE_ARCS
from mcnet_cli.progress import OnProgress, Progress, silent
from mcnet_cli.training import RunConfig, initial_weights
from mcnet_cli.training.dataset import load_dataset
from mcnet_cli.training.learner import Learner
from mcnet_cli.training.painter_batch import augmented, batch_of
from mcnet_cli.training.painter_data import EYES, MOUTHS, FacePart, collect, taught_parts
from mcnet_cli.training.painter_squares import PainterData
from mcnet_cli.training.painter_stage import PainterStage
from mcnet_cli.training.painters import train_painters
from mcnet_cli.training.process_group import Launch, ProcessGroup
from mcnet_cli.training.sampling import rng_of

EYE_PAINTER = "model.eye_painter={size=32, channels=[12, 8, 8], tokens=0}"


def settings(*changes: str) -> RunConfig:
    return config(*PAINTER, *changes, base=WITH_MOUTHS)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mouths(tmp_path_factory.mktemp("clips"))


def gathered(clips: Path, run: RunConfig, part: FacePart = MOUTHS) -> PainterData:
    torch.manual_seed(0)
    data = load_dataset(find_clips(clips), run, clips)
    return collect(part, MCNet(run.model).eval(), data.clips, run, choose("cpu", "fp32"), silent)


def test_mouths_are_pairs_of_a_source_and_the_frames_that_it_is_moved_to(clips: Path) -> None:
    mouths = gathered(clips, settings())
    assert len(mouths) >= 2 and mouths.real.shape == (len(mouths), 3, 32, 32)
    assert int(mouths.of.max()) == len(mouths.sources) - 1
    seen = batch_of(MOUTHS, mouths, torch.arange(len(mouths)), torch.device("cpu"))
    opened = seen.shape.opening > 0.1
    assert opened.any()
    assert seen.inside[opened].amax((1, 2, 3)).min() > 0.9
    again = gathered(clips, settings())
    assert torch.equal(mouths.warped, again.warped) and torch.equal(mouths.arcs, again.arcs)


def test_mouths_are_kept_in_a_file(clips: Path, tmp_path: Path) -> None:
    mouths = gathered(clips, settings())
    mouths.save(tmp_path / "mouths")
    kept = PainterData.load(tmp_path / "mouths")
    assert torch.equal(kept.real, mouths.real) and torch.equal(kept.source_points, mouths.source_points)


def test_clips_whose_mouths_stay_shut_are_of_no_use(tmp_path: Path) -> None:
    clips = find_clips(write_mouths(tmp_path, opening=2.0))
    assert taught_parts(load_dataset(clips, settings(), tmp_path).clips, settings()) == []


def test_pairs_are_varied_together(clips: Path) -> None:
    mouths = gathered(clips, settings())
    widest = mouths.points[:, 3, 1].argmax()
    seen = batch_of(MOUTHS, mouths, widest.expand(8), torch.device("cpu"))
    same = augmented(
        seen, settings("painter.colour=0", "painter.faded=0", "painter.blurred=0").painter, rng_of(0)
    )
    mirrored = (same.inside - seen.inside).abs().amax((1, 2, 3)) > 0.1
    assert mirrored.any() and not mirrored.all()
    for before, after in ((seen.warped, same.warped), (seen.real, same.real), (seen.sources, same.sources)):
        expected = torch.where(mirrored[:, None, None, None], before.flip(3), before)
        assert torch.allclose(after, expected, atol=2e-3)
    soft = augmented(seen, settings("painter.blurred=1").painter, rng_of(0))
    assert soft.real.diff(dim=3).abs().mean() < seen.real.diff(dim=3).abs().mean()


def test_a_painter_learns_with_the_finish_of_use(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mouths = gathered(clips, settings())
    seen, grid = batch_of(MOUTHS, mouths, torch.arange(2), torch.device("cpu")), [0.0]

    def painted(_self: MouthPainter, warped: torch.Tensor, *_of: object) -> Painted:
        alternating = torch.tensor([1.0, -1.0]).repeat(warped.shape[-1] // 2)
        return Painted(
            warped.mean((2, 3), keepdim=True) + grid[0] * alternating.expand_as(warped), warped[:, :1]
        )

    monkeypatch.setattr(MouthPainter, "forward", painted)
    made = MCNet(settings().model).painter
    assert made is not None
    plain = seen.paint(made)
    grid[0] = 0.1
    alternating = seen.paint(made)
    # between the edges, beyond which pixels are repeated
    assert (alternating.colours - plain.colours)[..., 4:-4].abs().max() < 1e-5


def test_only_the_painter_learns_and_the_file_has_it(clips: Path, tmp_path: Path) -> None:
    first = settings("painter.only=false", "painter.steps=0", "steps=1", "model.painter.size=0")
    base = run_training(clips, tmp_path / "base", first).weights
    stages: list[str] = []
    report = run_training(
        clips,
        tmp_path / "run",
        settings(),
        lambda progress: stages.append(progress.stage),
        init=initial_weights(str(base)),
    )
    before, after = read_weights(base), read_weights(report.weights)
    assert not before.config.painter.size and after.config.painter.size == 32
    assert all(torch.equal(after.state[name], tensor) for name, tensor in before.state.items())
    assert report.steps == 0
    assert "looking for mouths that open" in stages and stages.count("painting mouths") == 4
    assert "painter_mouths_discriminator" in (tmp_path / "run" / "log.jsonl").read_text()
    more = settings("painter.part=enlarger", "painter.enlarger_steps=1", "model.painter.enlarger=4")
    enlarging = run_training(clips, tmp_path / "more", more, init=initial_weights(str(report.weights)))
    before, after = after, read_weights(enlarging.weights)
    assert not before.config.painter.enlarger and after.config.painter.enlarger == 4
    assert all(torch.equal(after.state[name], tensor) for name, tensor in before.state.items())


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_painter(clips: Path, tmp_path: Path) -> None:
    def stop_at(count: int) -> OnProgress:
        def see(progress: Progress) -> None:
            if progress.stage == "painting mouths" and progress.done == count:
                raise KeyboardInterrupt

        return see

    whole = read_weights(run_training(clips, tmp_path / "whole", settings()).weights).state
    for count in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            run_training(clips, tmp_path / "parts", settings(), stop_at(count))
    parts = read_weights(run_training(clips, tmp_path / "parts", settings()).weights).state
    assert all(torch.equal(tensor, parts[name]) for name, tensor in whole.items())


def test_a_painter_goes_on_as_what_it_was(clips: Path, tmp_path: Path) -> None:
    run, folder = settings(), tmp_path / "painter"
    stage, other = (
        PainterStage(MOUTHS, MCNet(each.model).painter, each, choose("cpu", "fp32"), None, folder)
        for each in (run, settings("model.painter.tokens=8"))
    )
    assert not stage.resume()
    stage.save()
    assert stage.resume()
    with pytest.raises(UsageError, match="holds a painter of another architecture"):
        other.resume()


class Pyramid(PerceptualDistance):
    """Pictures at four sizes as features."""

    name = "pyramid"
    relative = True

    def features(self, image: Tensor) -> list[Tensor]:
        return [image, *(F.avg_pool2d(image, by) for by in (2, 4, 8))]


def test_a_painter_learns_from_features_and_goes_on_alike_after_a_stop(clips: Path, tmp_path: Path) -> None:
    run, steps = settings("painter.alone=0", "painter.perceptual=1", "painter.projected=0.5"), []
    data = gathered(clips, run)

    def stage(folder: Path) -> PainterStage:
        torch.manual_seed(0)
        painter = MCNet(run.model).painter
        assert painter is not None
        return PainterStage(MOUTHS, painter, run, choose("cpu", "fp32"), Pyramid(), folder)

    def stop(progress: Progress) -> None:
        steps.append(progress.done)
        if len(steps) == 2:
            raise KeyboardInterrupt

    whole = stage(tmp_path / "whole")
    losses = whole.learn(data, silent)
    assert {"perceptual", "projected", "features"} < set(losses)
    with pytest.raises(KeyboardInterrupt):
        stage(tmp_path / "parts").learn(data, stop)
    with pytest.raises(UsageError, match="learned with other discriminators"):
        other = MCNet(run.model).painter
        assert other is not None
        PainterStage(MOUTHS, other, run, choose("cpu", "fp32"), None, tmp_path / "parts").resume()
    again = stage(tmp_path / "parts")
    assert again.resume() and again.step == 2
    again.learn(data, silent)
    for name, network in whole.networks.items():
        other = again.networks[name].state_dict()
        assert all(torch.equal(tensor, other[key]) for key, tensor in network.state_dict().items()), name


def test_an_enlarger_learns_alone_from_large_mouths(
    clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = settings("painter.part=enlarger", "painter.enlarger_steps=3", "model.painter.enlarger=4")
    torch.manual_seed(0)
    model = MCNet(run.model).eval()
    assert model.painter is not None and model.painter.enlarger is not None
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    data = gathered(clips, run)
    kept = tmp_path / "mouths.safetensors"

    def train() -> dict[str, float]:
        return train_painters(model, taught, run, choose("cpu", "fp32"), None, tmp_path, silent)

    taught = load_dataset(find_clips(clips), run, clips).clips
    replace(data, fineness=torch.full_like(data.fineness, 0.5)).save(kept)
    train()
    assert "no clip shows mouths that are large enough" in caplog.text
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    replace(data, fineness=torch.full_like(data.fineness, 1.2)).save(kept)
    assert "large_mouths_discriminator" in train()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(before[name], tensor)}
    assert changed and all(name.startswith("painter.enlarger.") for name in changed)


def test_pairs_know_how_fine_their_frames_were(clips: Path) -> None:
    mouths = gathered(clips, settings())
    finer = gathered(clips, settings("model.painter.size=16"))
    assert torch.allclose(finer.fineness.mean(), 2 * mouths.fineness.mean(), rtol=0.2)


def test_pairs_of_another_version_are_refused_in_words(clips: Path, tmp_path: Path) -> None:
    kept = tmp_path / "mouths.safetensors"
    mouths = gathered(clips, settings())
    mouths.save(kept)
    assert torch.equal(PainterData.load(kept).fineness, mouths.fineness)
    older = load_file(kept)
    del older["fineness"]
    save_file(older, kept)
    with pytest.raises(InputError, match="another version"):
        PainterData.load(kept)


def test_an_enlarger_sees_paint_and_every_other_real_mouth_at_half_the_size(clips: Path) -> None:
    mouths = gathered(clips, settings())
    seen = batch_of(MOUTHS, mouths, torch.arange(2), torch.device("cpu"))
    torch.manual_seed(0)
    made = MouthPainter(PainterConfig(size=32, channels=(12, 8, 8), tokens=0, enlarger=4)).eval()
    assert made.enlarger is not None
    enlarged = seen.enlarged(made, made.enlarger).colours  # it adds nothing yet
    expected = torch.stack([seen.paint(made).colours[0], seen.real[1]])
    expected = F.interpolate(F.avg_pool2d(expected, 2), scale_factor=2.0, mode="bicubic").clamp(0, 1)
    assert torch.allclose(enlarged, expected, atol=1e-5)


@pytest.mark.slow
def test_both_painters_learn_one_after_the_other(tmp_path: Path) -> None:
    clips = write_mouths(tmp_path / "clips")
    for path in clips.glob("*.npz"):  # in which eyes blink, too
        landmarks = dict(np.load(path))
        for arcs, x in zip(EYE_ARCS, (14, 40), strict=True):
            for arc, way in zip(arcs, (-1, 1), strict=True):
                for number, point in enumerate(arc):
                    open_by = 3 * (1 - abs(number / 4 - 1) ** 2)
                    landmarks["points"][:, point] = x + 3 * number, 20
                    landmarks["points"][1::2, point, 1] += way * open_by
        np.savez(path, **landmarks)
    run = settings(EYE_PAINTER)
    eyes = gathered(clips, run, EYES)
    assert eyes.real.shape[1:] == (3, 32, 32) and eyes.arcs.shape[1:] == (2, 9, 2)
    seen = batch_of(EYES, eyes, torch.arange(len(eyes)), torch.device("cpu"))
    assert (seen.shape.opening > 0.2).any() and (seen.source_shape.opening < 0.1).any()
    stages: list[str] = []
    report = run_training(clips, tmp_path / "run", run, lambda progress: stages.append(progress.stage))
    painted = [stage for stage in stages if stage.startswith("painting")]
    assert painted == ["painting mouths"] * 4 + ["painting eyes"] * 4
    assert read_weights(report.weights).config.eye_painter == run.model.eye_painter
    log = (tmp_path / "run" / "log.jsonl").read_text()
    assert "painter_mouths_pixel" in log and "painter_eyes_pixel" in log
    only = settings("painter.part=eyes", EYE_PAINTER)
    stages.clear()
    run_training(clips, tmp_path / "eyes", only, lambda progress: stages.append(progress.stage))
    assert "painting eyes" in stages and "painting mouths" not in stages


def test_clips_that_teach_a_painter_nothing_are_refused_if_only_that_is_trained(tmp_path: Path) -> None:
    clips = write_mouths(tmp_path / "clips", opening=2.0)
    with pytest.raises(InputError, match="no clip shows mouths that open"):
        run_training(clips, tmp_path / "run", settings())
    assert not list((tmp_path / "run").glob("checkpoints/*"))


def test_weights_hold_no_painter_that_never_learned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clips = write_mouths(tmp_path / "clips", opening=2.0)
    report = run_training(clips, tmp_path / "run", settings("painter.only=false", "steps=1"))
    assert "no clip shows mouths that open wide enough" in caplog.text
    written = read_weights(report.weights)
    assert written.config.painters == ()
    assert build_model(written).painter is None


def test_painters_learn_that_the_model_has_and_the_settings_name() -> None:
    assert settings(EYE_PAINTER).painters == ("painter", "eye_painter")
    assert settings(EYE_PAINTER, "painter.part=eyes").painters == ("eye_painter",)
    assert settings("painter.only=false", "painter.steps=0").painters == ()
    with pytest.raises(UsageError, match=r"painter\.only needs painter\.steps"):
        settings("painter.part=eyes", "model.eye_painter.size=0")


def test_painters_are_left_alone_by_the_training_before_their_stages() -> None:
    compute = choose("cpu", "fp32")
    learner = Learner(settings(EYE_PAINTER), compute, ProcessGroup(Launch(), compute.device), None)
    learning = {name for name, tensor in learner.model.named_parameters() if tensor.requires_grad}
    assert "generator.final.weight" in learning
    assert not [name for name in learning if "painter" in name]


def test_the_stage_follows_the_run_unless_it_is_the_run(clips: Path, tmp_path: Path) -> None:
    report = run_training(clips, tmp_path, settings("painter.only=false", "steps=2"))
    assert report.steps == 2
    assert "painter_mouths_pixel" in (tmp_path / "log.jsonl").read_text()


def test_the_stage_alone_needs_a_painter() -> None:
    with pytest.raises(UsageError, match=r"painter\.only needs painter\.steps, and model\.painter\.size"):
        settings("model.painter.size=0")
