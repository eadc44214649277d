"""Motion: gaps, smoothing, and the file."""

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mcnet_cli.errors import InputError, UsageError
from mcnet_cli.motion import Motion, read_motion, write_motion

BLINK = 0.08  # how far lids go, in coordinates


def motion(frames: int = 5, *, jacobians: bool = True, landmarks: bool = True, found: str = "") -> Motion:
    rng = np.random.default_rng(frames)
    return Motion(
        values=rng.uniform(-1, 1, (frames, 4, 2)).astype(np.float32),
        jacobians=(np.eye(2) + rng.uniform(0, 0.2, (frames, 4, 2, 2))).astype(np.float32)
        if jacobians
        else None,
        landmarks=rng.uniform(-1, 1, (frames, 468, 2)).astype(np.float16) if landmarks else None,
        found=np.array([letter == "x" for letter in found or "x" * frames]),
        rate=Fraction(30000, 1001),
        digest="0123456789abcdef" * 4,
        irises=rng.uniform(-1, 1, (frames, 10, 2)).astype(np.float16) if landmarks else None,
    )


def test_frames_without_a_face_are_on_their_way_between_those_around_and_alike_at_the_ends() -> None:
    before = motion(6, found=".x..x.")
    after = before.held()
    for series, held in ((before.values, after.values), (before.jacobians, after.jacobians)):
        assert series is not None and held is not None
        assert np.array_equal(held[[0, 1, 4, 5]], series[[1, 1, 4, 4]])
        assert np.allclose(held[2], (2 * series[1] + series[4]) / 3, atol=1e-6)
        assert np.allclose(held[3], (series[1] + 2 * series[4]) / 3, atol=1e-6)


def test_a_part_without_any_face_holds_one_pose() -> None:
    held = motion(3, found="...").held()
    assert np.array_equal(held.values, held.values[:1].repeat(3, 0))


def test_in_a_long_gap_the_last_pose_stays_until_a_second_before_the_next() -> None:
    before = motion(100, found="x" + 98 * "." + "x")
    after = before.held()
    assert np.array_equal(after.values[:68], before.values[:1].repeat(68, 0))
    steps = np.diff(after.values[68:], axis=0)
    assert np.allclose(steps, steps[0], atol=1e-4) and np.abs(steps).max() < 0.1


def test_smoothing_leaves_a_still_alone_and_calms_jitter() -> None:
    still = replace(motion(9), values=np.full((9, 4, 2), 0.3, np.float32))
    assert np.allclose(still.smoothed(2).values, 0.3, atol=1e-6)
    noisy = motion(200)
    assert noisy.smoothed(2).values.std(0).max() < 0.5 * noisy.values.std(0).min()


def test_smoothing_is_a_gaussian_of_so_many_frames() -> None:
    impulse = np.zeros((41, 4, 2), np.float32)
    impulse[20] = 1
    smooth = replace(motion(41), values=impulse).smoothed(3).values[:, 0, 0]
    expected = np.exp(-0.5 * ((np.arange(41) - 20) / 3) ** 2)
    assert np.allclose(smooth, expected / expected.sum(), atol=1e-4)


def test_no_smoothing_changes_nothing() -> None:
    before = motion()
    assert before.smoothed(0) is before


def steady_with(values: np.ndarray) -> np.ndarray:
    """(T, 4, 2) values after steadying, as a motion of 25 frames a second."""
    return replace(motion(len(values), jacobians=False), values=values, rate=Fraction(25)).steadied().values


def test_steadying_takes_the_noise_out_of_what_stands_still() -> None:
    noise = np.random.default_rng(2).normal(0, 0.001, (100, 4, 2)).astype(np.float32)
    noise[:, 0] += np.linspace(0, 0.2, 100)[:, None]  # something moves, or it would be a still
    noise, steady = noise[:, 1:], steady_with(noise)[:, 1:]
    assert np.diff(steady, axis=0).std() < 0.4 * np.diff(noise, axis=0).std()
    assert np.abs(steady.mean(0) - noise.mean(0)).max() < 5e-4


def test_a_still_with_noise_is_steadied_to_one_picture() -> None:
    noise = np.random.default_rng(2).normal(0, 0.001, (50, 4, 2)).astype(np.float32)
    steady = steady_with(noise)
    assert (steady == steady[0]).all()
    assert np.abs(steady[0] - noise.mean(0)).max() < 5e-4


def test_a_person_who_hardly_moves_is_no_still() -> None:
    noise = np.random.default_rng(2).normal(0, 0.0002, (50, 4, 2)).astype(np.float32)
    breath = 0.004 * np.sin(np.linspace(0, 6, 50, dtype=np.float32))
    noise[:, :2, 1] += breath[:, None]
    moved = np.ptp(steady_with(noise)[:, :2, 1], axis=0)
    assert (moved > 0.8 * np.ptp(breath)).all()


def test_steadying_keeps_blinks_where_they_are() -> None:
    blink = np.zeros((60, 4, 2), np.float32)
    blink[29:32, 0, 1] = 0.5 * BLINK, BLINK, 0.5 * BLINK  # shut within 80 ms
    steady = steady_with(blink)[:, 0, 1]
    assert steady.argmax() == 30 and steady.max() > 0.9 * BLINK
    assert np.abs(steady[29] - steady[31]) < 1e-6  # nothing lags
    assert not steady_with(blink)[:, 1:].any()


def test_steadying_depends_on_time_and_not_on_the_number_of_frames() -> None:
    wave = (
        0.02 * np.sin(np.linspace(0, 12, 400, dtype=np.float32))[:, None, None] * np.ones((4, 2), np.float32)
    )
    slow = replace(motion(200, jacobians=False), values=wave[::2], rate=Fraction(25)).steadied().values
    fast = replace(motion(400, jacobians=False), values=wave, rate=Fraction(50)).steadied().values
    assert np.abs(slow - fast[::2]).max() < 5e-4


def test_steadying_one_frame_and_jacobians() -> None:
    assert np.array_equal(motion(1).steadied().values, motion(1).values)
    still = replace(motion(30), values=np.zeros((30, 4, 2), np.float32))
    assert still.jacobians is not None
    steady = still.steadied().jacobians
    assert steady is not None and steady.std(0).max() < 0.8 * still.jacobians.std(0).min()


@pytest.mark.parametrize("jacobians", [True, False])
@pytest.mark.parametrize("landmarks", [True, False])
def test_a_motion_survives_its_file(tmp_path: Path, jacobians: bool, landmarks: bool) -> None:
    before = motion(jacobians=jacobians, landmarks=landmarks, found="x.xx.")
    write_motion(tmp_path / "a.motion", before)
    after = read_motion(tmp_path / "a.motion")
    assert (after.rate, after.digest) == (before.rate, before.digest)
    for name in ("values", "jacobians", "landmarks", "irises", "found"):
        expected, actual = getattr(before, name), getattr(after, name)
        assert actual is None if expected is None else np.array_equal(actual, expected)


def test_equal_motions_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.motion", "b.motion"):
        write_motion(tmp_path / name, motion())
    assert (tmp_path / "a.motion").read_bytes() == (tmp_path / "b.motion").read_bytes()


def test_a_motion_file_is_plain_safetensors_with_the_exact_rate(tmp_path: Path) -> None:
    write_motion(tmp_path / "a.motion", motion())
    with safe_open(tmp_path / "a.motion", "pt") as file:
        assert {*file.keys()} == {"values", "jacobians", "landmarks", "irises", "found"}
        assert file.metadata()["mcnet.rate"] == "30000/1001"


def test_a_motion_file_of_before_irises_is_read(tmp_path: Path) -> None:
    content = entries()
    del content["irises"]
    save_file(content, tmp_path / "old.motion", META)
    old = read_motion(tmp_path / "old.motion")
    assert old.irises is None
    assert np.array_equal(old[1:3].landmarks, motion().landmarks[1:3])


def test_an_existing_motion_file_stays_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.motion"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_motion(path, motion())
    assert path.read_text() == "mine"
    write_motion(path, motion(), overwrite=True)
    assert len(read_motion(path)) == 5


Entries = dict[str, torch.Tensor]
META = {"mcnet.motion": "1", "mcnet.rate": "25", "mcnet.detector": "0123456789abcdef" * 4}


def entries() -> Entries:
    full = motion()
    return {
        "values": torch.from_numpy(full.values),
        "jacobians": torch.from_numpy(full.jacobians),
        "landmarks": torch.from_numpy(full.landmarks),
        "irises": torch.from_numpy(full.irises),
        "found": torch.from_numpy(full.found),
    }


def without(name: str) -> Callable[[Entries], None]:
    return lambda e: void(e.pop(name))


def change(name: str, new: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Entries], None]:
    return lambda e: e.__setitem__(name, new(e[name]).contiguous())


def void(_: object) -> None:
    pass


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without("values"), "missing values"),
        (without("found"), "missing found"),
        (change("values", lambda t: t * float("nan")), "values holds"),
        (change("values", lambda t: t * 1e9), "values holds"),
        (change("jacobians", lambda t: t + float("inf")), "jacobians holds"),
        (change("jacobians", lambda t: t * 0), "inverted"),
        (change("landmarks", lambda t: t * float("nan")), "landmarks holds"),
        (change("values", lambda t: t[:3]), r"is \w+ .*, not"),
        (change("values", lambda t: t[:0]), "values has the shape"),
        (change("values", lambda t: t.half()), "values is F16"),
        (change("values", lambda t: t.flatten()), "values has the shape"),
        (change("landmarks", lambda t: t[:, :68]), "landmarks is"),
        (change("irises", lambda t: t * float("nan")), "irises holds"),
        (change("irises", lambda t: t[:, :5]), "irises is"),
        (change("found", lambda t: t & False), "no face"),
        (lambda e: e.__setitem__("more", torch.zeros(2)), "unexpected more"),
    ],
)
def test_a_motion_file_with_a_fault_names_it(
    tmp_path: Path, spoil: Callable[[Entries], None], says: str
) -> None:
    content = entries()
    spoil(content)
    save_file(content, tmp_path / "bad.motion", META)
    with pytest.raises(InputError, match=f"bad.motion.*{says}"):
        read_motion(tmp_path / "bad.motion")


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        META | {"mcnet.motion": "2"},
        META | {"mcnet.rate": "0"},
        META | {"mcnet.rate": "25/0"},
        META | {"mcnet.rate": "nan"},
        META | {"mcnet.rate": "1000000"},
        META | {"mcnet.detector": "x"},
    ],
)
def test_bad_metadata_is_refused(tmp_path: Path, metadata: dict[str, str]) -> None:
    save_file(entries(), tmp_path / "bad.motion", metadata)
    with pytest.raises(InputError, match=r"bad\.motion"):
        read_motion(tmp_path / "bad.motion")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"\x80\x04\x95" + b"x" * 50,
        struct.pack("<Q", 1 << 60),
        struct.pack("<Q", 40) + json.dumps({"values": 3}).encode().ljust(40),
    ],
)
def test_anything_else_is_not_a_motion_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.motion").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.motion"):
        read_motion(tmp_path / "bad.motion")


def test_a_cut_motion_file_is_refused(tmp_path: Path) -> None:
    write_motion(tmp_path / "a.motion", motion())
    (tmp_path / "b.motion").write_bytes((tmp_path / "a.motion").read_bytes()[:-10])
    with pytest.raises(InputError, match=r"b\.motion"):
        read_motion(tmp_path / "b.motion")
