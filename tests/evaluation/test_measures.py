"""The figures of one clip, against values that are known: perfect results, stills, and other people."""

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from face_tools import detector, portrait, portrait_face
from onnx_tools import write_recognizer
from places import EXAMPLES

from mcnet_cli.evaluation.measures import ClipMeter, Instruments, aligned, face_like
from mcnet_cli.evaluation.movements import DISTANCES, GAIN
from mcnet_cli.evaluation.request import FIGURES
from mcnet_cli.face import CAREFUL_LOOKS, FaceMesh
from mcnet_cli.media import open_frames
from mcnet_cli.metrics import LPIPS, TEMPLATE, Recognizer, five_points, load_perceptual, unlikeness

DRIVING = EXAMPLES / "driving.mp4"
NUMBERS = (2, 28, 36, 44, 52, 60)  # frames of the example's driving, mouth open in some
WITHOUT_NETWORKS = tuple(
    name for name in FIGURES if name not in ("error_over_copy", "lpips", "identity", "aed", "csim")
)


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """A person who talks and turns, 256 x 256."""
    with open_frames(DRIVING) as film:
        chosen = [frame.copy() for number, frame in enumerate(film) if number in NUMBERS]
    return [cv2.resize(frame, (256, 256), interpolation=cv2.INTER_AREA) for frame in chosen]


def instruments(**networks: Any) -> Instruments:
    """Without networks but for those of faces and the given ones."""
    return Instruments(detector(), FaceMesh(CAREFUL_LOOKS), {}, **networks)


def points_in(picture: np.ndarray) -> np.ndarray:
    face = instruments().detected(picture)
    assert face is not None
    return face.points


def measured(
    tools: Instruments,
    names: tuple[str, ...],
    source: np.ndarray,
    made: list[np.ndarray],
    real: list[np.ndarray],
    *,
    truth: bool = True,
) -> dict[str, float]:
    meter = ClipMeter(tools, names, source, truth=truth)
    for theirs, ours in zip(real, made, strict=True):
        meter.add(theirs, ours)
    return meter.figures()


def test_a_perfect_result_has_perfect_figures(frames: list[np.ndarray]) -> None:
    found = measured(instruments(), WITHOUT_NETWORKS, frames[0], frames[1:], frames[1:])
    for name in ("l1", "error_over_copy", "mouth_over_copy", "inner_mouth_over_copy", "akd", "landmarks"):
        assert found[name] == 0, name
    for name in ("ssim", "flow", "sharpness", "motion", "jitter", *DISTANCES):
        assert found[name] == pytest.approx(1), name
    assert [found[name + GAIN] for name in DISTANCES] == [1] * 4
    assert found["psnr"] == math.inf


def test_a_still_is_as_good_as_a_copy_and_moves_nothing(frames: list[np.ndarray]) -> None:
    still = [frames[0]] * (len(frames) - 1)
    found = measured(instruments(), WITHOUT_NETWORKS, frames[0], still, frames[1:])
    for name in ("error_over_copy", "mouth_over_copy", "inner_mouth_over_copy"):
        assert found[name] == 1, name
    assert found["flow"] == 0
    assert found["motion"] < 0.05 and found["jitter"] < 0.15
    assert all(found[name + GAIN] < 0.25 for name in DISTANCES)
    assert found["landmarks"] > 3, "the real face turns away"
    assert math.isnan(found["mouth"]) or abs(found["mouth"]) < 0.95, "a mouth that doesn't move follows none"


def test_an_error_in_the_mouth_is_found_there(frames: list[np.ndarray]) -> None:
    real, spoilt = frames[1:], [frame.copy() for frame in frames[1:]]
    for frame in spoilt:
        x, y = points_in(frame)[[13, 14]].mean(0).round().astype(int)
        frame[y - 1 : y + 2, x - 6 : x + 7] = 255
    found = measured(instruments(), WITHOUT_NETWORKS, frames[0], spoilt, real)
    assert found["inner_mouth_over_copy"] > 2 * found["mouth_over_copy"] > 0
    assert found["mouth_over_copy"] > 2 * found["error_over_copy"] > 0


def test_a_made_frame_without_a_face_is_counted_and_left_out(frames: list[np.ndarray]) -> None:
    grey = np.full_like(frames[0], 128)
    meter = ClipMeter(instruments(), ("akd", "landmarks"), frames[0], truth=True)
    for real, made in ((frames[1], frames[1]), (frames[2], grey), (grey, frames[3]), (grey, grey)):
        meter.add(real, made)
    assert meter.faceless == 1, "the second; in the others the driving has none"
    assert meter.figures() == {"akd": 0, "landmarks": 0}


def test_landmarks_of_the_library_are_compared_where_it_is_the_detector(
    frames: list[np.ndarray],
) -> None:
    def brightest(frame: np.ndarray) -> np.ndarray | None:
        """A stand-in for landmarks: where a bright pixel is, if there is one."""
        places = np.argwhere(frame[..., 0] > 200)
        return places[:1].astype(np.float32) if len(places) else None

    def frame(row: int | None) -> np.ndarray:
        empty = np.zeros((64, 64, 3), np.uint8)
        if row is not None:
            empty[row, 8] = 255
        return empty

    class Library(Instruments):
        """Whose points for `akd` are found by `brightest`."""

        find_points = staticmethod(brightest)  # type: ignore[assignment]

    meter = ClipMeter(Library(detector(), FaceMesh(), {}), ("akd",), frame(0), truth=True)
    for real, made in ((10, 13), (20, None), (None, 5)):
        meter.add(frame(real), frame(made))
    assert meter.figures() == {"akd": 3 / 2 * 256 / 64}, "3 px in one of two coordinates, at 256 px"
    assert meter.faceless == 1


def test_lpips_is_averaged_over_all_frames(frames: list[np.ndarray]) -> None:
    torch.manual_seed(0)
    network = LPIPS().eval()
    for parameter in network.parameters():
        parameter.data = torch.rand_like(parameter) * 0.05
    made, real = frames[:3], frames[1:4]
    expected = network.compare(np.stack(made), np.stack(real))
    assert min(expected) > 0
    found = measured(instruments(lpips=network), ("lpips",), frames[0], made, real)
    assert found == {"lpips": pytest.approx(np.mean(expected), rel=1e-4)}


def test_identity_is_0_for_the_source_s_face_and_1_for_the_driving_s(frames: list[np.ndarray]) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra [train] is not installed")
    tools = instruments(perceptual=load_perceptual())
    source = np.ascontiguousarray(portrait()[20:250, 110:340])
    driving = [cv2.convertScaleAbs(frame, alpha=0.6) for frame in frames]
    taken_over = measured(tools, ("identity",), source, driving, driving, truth=False)
    assert taken_over == {"identity": pytest.approx(1)}
    kept = measured(tools, ("identity",), source, [source] * len(driving), driving, truth=False)
    assert kept["identity"] < 0.4
    points = points_in(source)
    own = face_like(points, source, points)
    assert own.shape == (128, 128, 3)
    assert unlikeness(tools.perceptual, own[None], own) == pytest.approx(0, abs=1e-5)  # type: ignore[arg-type]


def test_identity_is_the_same_in_however_many_pieces_it_is_measured(
    frames: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra [train] is not installed")
    tools = instruments(perceptual=load_perceptual())
    made = [cv2.GaussianBlur(frame, (9, 9), 3) for frame in frames]
    arguments = (tools, ("identity",), frames[0], made, [frame[:, ::-1].copy() for frame in frames])
    whole = measured(*arguments, truth=False)["identity"]
    monkeypatch.setattr("mcnet_cli.evaluation.measures.FACES_AT_ONCE", 4)
    assert measured(*arguments, truth=False)["identity"] == pytest.approx(whole, rel=1e-4)


def test_faces_are_recognized_by_the_real_frame_or_by_the_source(
    frames: list[np.ndarray], tmp_path: Path
) -> None:
    tools = instruments(recognizer=Recognizer(write_recognizer(tmp_path / "r.onnx")))
    names = ("aed", "csim")
    dark = [cv2.convertScaleAbs(frame, alpha=0.3) for frame in frames]
    truly = measured(tools, names, dark[0], frames, frames)
    assert truly == {"aed": pytest.approx(0, abs=1e-3), "csim": pytest.approx(1)}
    across = measured(tools, names, dark[0], frames, frames, truth=False)
    assert across["csim"] < 0.9, "the source is dark"
    kept = measured(tools, names, frames[0], [frames[0]] * 3, frames[1:4], truth=False)
    assert kept["csim"] > 0.99


def test_faces_are_laid_on_the_template_of_recognition_networks() -> None:
    face = portrait_face()
    seen = aligned(portrait(), face.points)
    assert seen.shape == (112, 112, 3)
    found = points_in(cv2.resize(seen, (448, 448), interpolation=cv2.INTER_CUBIC))
    away = np.linalg.norm(five_points(found) / 4 - (TEMPLATE + 0.5), axis=1)
    assert away.max() < 9, "she smiles, so the corners of her mouth lie higher than the template's"
    assert away[:3].max() < 5
