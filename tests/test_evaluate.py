"""What an evaluation measures: the frames that `animate` makes, clip by clip."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from animation_tools import NO_CROP, frames_of, picture, rendered, write_clip, write_moving_clip, write_tiny

from mcnet_cli.errors import InputError, UsageError, WeightsError
from mcnet_cli.evaluation import EvaluationReport, EvaluationRequest, evaluate
from mcnet_cli.evaluation.measure import ClipMeter
from mcnet_cli.evaluation.pairs import read_pairs, ring
from mcnet_cli.evaluation.report import ClipResult, summarized
from mcnet_cli.evaluation.sheet import chosen
from mcnet_cli.evaluation.suite import Suite
from mcnet_cli.media import read_image, write_image
from mcnet_cli.media.clips import find_clips
from mcnet_cli.metrics import LPIPS, psnr, ssim
from mcnet_cli.synthetic import render_clip

LANDMARKS = (10, 152, 234, 454, 1, 13)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips without a face: two films and a folder of pictures."""
    folder = tmp_path_factory.mktemp("disks")
    write_moving_clip(folder / "b.mp4", 5)
    (folder / "more").mkdir()
    write_clip(folder / "more" / "c.mp4", [picture(0.5 * n + 1) for n in range(4)])
    (folder / "a").mkdir()
    for number in range(3):
        write_image(folder / "a" / f"{number}.png", picture(number))
    return folder


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two synthetic people who talk."""
    folder = tmp_path_factory.mktemp("heads")
    for seed in (1, 2):
        write_clip(folder / f"head{seed}.mp4", [*render_clip(seed, 24, 128).frames[::3]])
    return folder


def run(clips: Path, weights: Path, **options: Any) -> EvaluationReport:
    facts: dict[str, Any] = {"device": "cpu", "precision": "fp32", "metrics": ("l1", "psnr", "ssim")}
    return evaluate(EvaluationRequest(clips=clips, weights=str(weights), **{**facts, **options}))


def test_a_reconstruction_measures_what_animate_makes(disks: Path, weights: Path, tmp_path: Path) -> None:
    real = frames_of(disks / "b.mp4")
    write_image(tmp_path / "first.png", real[0])
    options = {"weights": str(weights), **NO_CROP}
    made = rendered(tmp_path, tmp_path / "first.png", disks / "b.mp4", motion="absolute", **options)
    (result,) = [r for r in run(disks, weights).results if r.driving == "b.mp4"]
    errors = np.abs(made[1:].astype(float) - real[1:]) / 255
    still = np.abs(real[0].astype(float) - real[1:]) / 255
    assert result.frames == 4, "the first frame is the source, and doesn't count"
    assert result.figures["l1"] == pytest.approx(errors.mean())
    assert result.figures["error_over_copy"] == pytest.approx(errors.mean() / still.mean())
    pairs = [*zip(made[1:], real[1:], strict=True)]
    assert result.figures["psnr"] == pytest.approx(np.mean([psnr(*pair) for pair in pairs]))
    assert result.figures["ssim"] == pytest.approx(np.mean([ssim(*pair) for pair in pairs]))


def test_a_reenactment_shows_what_animate_makes(disks: Path, weights: Path, tmp_path: Path) -> None:
    report = run(
        disks, weights, protocol="reenactment", metrics=("mouth",), output=tmp_path / "report", every=2
    )
    assert [(r.source, r.driving, r.frames) for r in report.results] == [
        ("b.mp4", "a", 2),
        ("more/c.mp4", "b.mp4", 3),
        ("a", "more/c.mp4", 2),
    ]
    assert math.isnan(report.summaries["mouth"].mean), "there is no face in a disk"
    write_image(tmp_path / "first.png", frames_of(disks / "b.mp4")[0])
    made = rendered(tmp_path, tmp_path / "first.png", disks / "a", weights=str(weights), **NO_CROP)
    sheet = read_image(tmp_path / "report" / "sheet.png")
    assert (sheet[18 : 18 + 64, 128:] == made[2]).all()
    assert (sheet[18 : 18 + 64, 64:128] == picture(2)).all()


def test_every_and_max_frames_bound_the_work(disks: Path, weights: Path) -> None:
    frames = {r.driving: r.frames for r in run(disks, weights, every=2, max_frames=4).results}
    assert frames == {"a": 1, "b.mp4": 1, "more/c.mp4": 1}
    with pytest.raises(InputError, match="has 3 frames, too few with --every 9"):
        run(disks / "a", weights, every=9)


def test_one_bad_clip_is_listed_and_the_others_go_on(disks: Path, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "good").symlink_to(disks / "a")
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"no film" * 50)
    write_clip(tmp_path / "clips" / "wide.mp4", [np.zeros((48, 64, 3), np.uint8)] * 3)
    report = run(tmp_path / "clips", weights)
    assert [result.driving for result in report.results] == ["good"]
    assert {failed.driving for failed in report.failed} == {"broken.mp4", "wide.mp4"}
    assert any("is 64x48, not square" in failed.reason for failed in report.failed)
    with pytest.raises(InputError, match="2 of 3 clips can't be used"):
        run(tmp_path / "clips", weights, strict=True, output=tmp_path / "report")
    assert (tmp_path / "report" / "report.json").is_file(), "what could be measured is there"
    (tmp_path / "clips" / "good").unlink()
    with pytest.raises(InputError, match="no clip can be used; the first"):
        run(tmp_path / "clips", weights)


def test_landmarks_of_heads_are_compared_and_taken_as_keypoints(heads: Path, tmp_path: Path) -> None:
    tracked = write_tiny(tmp_path / "tracked.safetensors", landmarks=LANDMARKS, jacobians=False)
    report = run(heads, tracked, metrics=("akd",), every=2)
    assert report.keypoints == "tracked landmarks"
    assert "468" in report.landmarks
    assert all(result.no_face == 0 for result in report.results)
    learned = write_tiny(tmp_path / "learned.safetensors", jacobians=False)
    other = run(heads, learned, metrics=("l1",), every=2)
    assert other.keypoints == "the network's detector"
    assert run(heads, tracked, metrics=("l1",), every=2).results != other.results


def test_openings_are_compared_across_people(heads: Path, weights: Path) -> None:
    report = run(heads, weights, protocol="reenactment", metrics=None)
    assert set(report.summaries) == {"mouth", "eyes"}
    assert set(report.skipped) == {"aed", "csim"}
    for result in report.results:
        assert result.faceless + sum(not math.isnan(v) for v in result.figures.values()) > 0


def test_lpips_takes_the_real_alexnet_and_nothing_else(
    disks: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert "alexnet-owt-7be5be79.pth" in (
        run(disks, weights, metrics=("l1", "lpips")).skipped["lpips"][1] or ""
    )
    with pytest.raises(WeightsError, match="--metrics lpips: alexnet is not on this machine"):
        run(disks, weights, metrics=("lpips",))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "alexnet-owt-7be5be79.pth").write_bytes(b"another file")
    why, _ = run(disks, weights, metrics=("l1", "lpips")).skipped["lpips"]
    assert "is damaged: its sha256" in why


def test_lpips_is_averaged_over_all_frames() -> None:
    torch.manual_seed(0)
    network = LPIPS().eval()
    for parameter in network.parameters():
        parameter.data = torch.rand_like(parameter) * 0.05
    frames = [picture(number) for number in range(4)]
    trackers: Any = (None, None)  # no face is looked at
    meter = ClipMeter(Suite(("lpips",), {}, network), frames[0], trackers, None)
    meter.add(frames[:1], frames[1:2])
    meter.add(frames[:2], frames[2:])
    expected = network.compare(np.stack(frames[1:]), np.stack([frames[0], *frames[:2]]))
    assert min(expected) > 0
    assert meter.figures() == {"lpips": pytest.approx(np.mean(expected))}


def test_a_made_frame_without_a_face_is_counted_and_left_out_of_akd() -> None:
    def brightest(frame: np.ndarray) -> np.ndarray | None:
        """A stand-in for landmarks: where a bright pixel is, if there is one."""
        places = np.argwhere(frame[..., 0] > 200)
        return places[:1].astype(np.float32) if len(places) else None

    def frame(row: int | None) -> np.ndarray:
        empty = np.zeros((64, 64, 3), np.uint8)
        if row is not None:
            empty[row, 8] = 255
        return empty

    def nobody(_frame: np.ndarray) -> None: ...

    trackers: Any = (nobody, nobody)
    meter = ClipMeter(Suite(("akd",), {}, None), frame(0), trackers, brightest)
    meter.add([frame(10), frame(20), frame(None)], [frame(13), frame(None), frame(5)])
    assert meter.figures() == {"akd": 3 / 2 * 256 / 64}, "3 px in one of two coordinates, at 256 px"
    assert meter.faceless == 1


def test_metrics_without_truth_or_weights_are_skipped_with_the_reason(disks: Path, weights: Path) -> None:
    report = run(disks, weights, metrics=("l1", "csim", "aed"))
    assert "face recognition network" in report.skipped["csim"][0]
    assert "csim" not in report.as_json()["metrics"]
    across = run(disks, weights, protocol="reenactment", metrics=("eyes", "l1"))
    assert "across people there are none" in across.skipped["l1"][0]
    with pytest.raises(UsageError, match="--metrics psnr: it compares with real frames"):
        run(disks, weights, protocol="reenactment", metrics=("psnr",))


def test_a_report_holds_figures_of_clips_and_their_means(disks: Path, weights: Path, tmp_path: Path) -> None:
    output = tmp_path / "report"
    report = run(disks, weights, output=output)
    assert {path.name for path in output.iterdir()} == {"report.json", "report.csv", "sheet.png"}
    assert {path.name for path in tmp_path.iterdir()} == {"report"}
    data = json.loads((output / "report.json").read_text())
    assert data == json.loads(json.dumps(report.as_json()))
    l1 = data["metrics"]["l1"]
    assert l1["mean"] == pytest.approx(np.mean([clip["l1"] for clip in data["clips"]]))
    assert l1["low"] < l1["mean"] < l1["high"]
    assert (l1["clips"], l1["better"]) == (3, "less")
    rows = [*csv.DictReader((output / "report.csv").open())]
    assert [row["driving"] for row in rows] == ["a", "b.mp4", "more/c.mp4", ""]
    assert float(rows[-1]["l1"]) == pytest.approx(l1["mean"], rel=1e-5)
    assert read_image(output / "sheet.png").shape == (3 * (64 + 18), 3 * 64, 3)
    again = run(disks, weights)
    assert again.results == report.results, "the same clips give the same figures"
    assert again.summaries == report.summaries


def test_a_folder_is_replaced_only_if_asked_to_and_only_if_it_is_a_report(
    disks: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "report"
    run(disks / "a", weights, output=output)
    before = (output / "report.json").read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        run(disks / "a", weights, output=output)
    with pytest.raises(InputError):
        run(tmp_path / "missing", weights, output=output, overwrite=True)
    assert (output / "report.json").read_bytes() == before
    run(disks / "a", weights, output=output, overwrite=True, metrics=("l1",))
    assert (output / "report.json").read_bytes() != before
    (output / "holiday.jpg").write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"holds more than a report: holiday\.jpg"):
        run(disks / "a", weights, output=output, overwrite=True)
    with pytest.raises(UsageError, match="lies among the clips"):
        run(disks, weights, output=disks / "report")
    with pytest.raises(UsageError, match="its folder doesn't exist"):
        run(disks, weights, output=tmp_path / "no" / "report")
    monkeypatch.chdir(output)
    with pytest.raises(UsageError, match="holds more than a report"):
        run(disks / "a", weights, output=Path(), overwrite=True)
    (output / "holiday.jpg").unlink()
    run(disks / "a", weights, output=Path(), overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"report"}, "nothing half done is left"


def test_pairs_are_read_from_a_table(disks: Path, tmp_path: Path) -> None:
    clips, table = find_clips(disks), tmp_path / "pairs.csv"
    table.write_text("driving,source,note\nb,a,x\nmore/c.mp4,b.mp4,y\n")
    assert [(p.source.name, p.driving.name) for p in read_pairs(table, clips)] == [
        ("a", "b.mp4"),
        ("b.mp4", "more/c.mp4"),
    ]
    for text, message in (
        ("source,driving\na,b\na,nobody\n", "line 3: there is no clip nobody"),
        ("source,driving\na\n", "line 2: there is no clip None"),
        ("from,to\na,b\n", "no columns source and driving"),
        ("source,driving\n", "names no pairs"),
        ("", "no columns source and driving"),
    ):
        table.write_text(text)
        with pytest.raises(InputError, match=message):
            read_pairs(table, clips)
    table.write_bytes(b"source,driving\n\xff\xfe,b\n")
    with pytest.raises(InputError, match="no CSV file in UTF-8"):
        read_pairs(table, clips)


def test_each_clip_drives_the_next_one_of_another_person(tmp_path: Path) -> None:
    for name in ("anna#1.mp4", "anna#2.mp4", "bert#1.mp4"):
        (tmp_path / name).touch()
    clips = find_clips(tmp_path)
    assert [(p.driving.name, p.source.name) for p in ring(clips)] == [
        ("anna#1.mp4", "bert#1.mp4"),
        ("anna#2.mp4", "bert#1.mp4"),
        ("bert#1.mp4", "anna#1.mp4"),
    ]
    with pytest.raises(InputError, match="clips of two people"):
        ring(clips[:2])


def test_the_interval_counts_clips_and_what_could_not_be_measured_is_left_out() -> None:
    summary = summarized([0.2, 0.4, math.nan, 0.6])
    assert (summary.mean, summary.clips) == (pytest.approx(0.4), 3)
    assert summary.low is not None and summary.high is not None
    assert 0.2 <= summary.low < 0.4 < summary.high <= 0.6
    assert summarized([0.2]).low is None
    assert summarized([math.inf, 30.0]).mean == math.inf
    assert summarized([math.nan]).clips == 0


def test_the_sheet_shows_best_median_and_worst() -> None:
    def results(name: str, *values: float) -> list[ClipResult]:
        return [ClipResult("", "", 1, 0, 0, False, {name: value}) for value in values]

    assert chosen(results("l1", 0.3, 0.1, 0.5, 0.2, 0.4), "l1") == (1, 0, 2)
    assert chosen(results("psnr", 20, 30, 25), "psnr") == (1, 2, 0)
    assert chosen(results("l1", math.nan, 0.1), "l1") == (1, 1, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "guess"}, "--protocol guess"),
        ({"metrics": ("l2",)}, "there is no 'l2'"),
        ({"metrics": ()}, "none is named"),
        ({"pairs": Path("p.csv")}, "only reenactment has pairs"),
        ({"every": 0}, "--every 0"),
        ({"max_frames": 1}, "--max-frames 1"),
        ({"detector": "eyes"}, "--detector eyes"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EvaluationRequest(clips=Path("clips"), **options)
