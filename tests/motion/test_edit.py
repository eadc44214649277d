"""`edit`: motions in, one motion file out."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from face_tools import animator
from places import ROOT

from mcnet_cli import (
    EditRequest,
    InputError,
    Keyframes,
    MotionEdit,
    UsageError,
    edit,
    read_motion,
    write_motion,
)

NOD, SMILE = Path("nod"), Path("smile")


def edited(folder: Path, *motions: Path, **options: Any) -> Any:
    output = folder / "new.motion"
    edit(EditRequest(motions=motions or (NOD,), output=output, overwrite=True, **options))
    return read_motion(output)


@pytest.fixture(scope="module")
def wave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's driving, recorded."""
    path = tmp_path_factory.mktemp("wave") / "wave.motion"
    write_motion(path, animator().motion(ROOT / "examples" / "driving.mp4", max_frames=20))
    return path


def test_motions_by_name_become_a_small_file(tmp_path: Path) -> None:
    report = edit(EditRequest(motions=(NOD, SMILE), output=tmp_path / "yes.motion"))
    assert (report.frames, report.rate, report.is_recorded) == (145, 25, False)
    assert report.bytes == (tmp_path / "yes.motion").stat().st_size < 12_000


def test_edits_numbers_and_another_motion_come_together(tmp_path: Path) -> None:
    motion = edited(tmp_path, add=SMILE, controls=Keyframes.of(yaw=12), edit=MotionEdit(rate=Fraction(50)))
    assert (len(motion), motion.rate) == (200, 50)
    assert motion.controls["yaw"] == pytest.approx(12)
    assert motion.controls["smile"].max() > 0.9 and motion.controls["pitch"].min() < -5
    half = edited(tmp_path, mix=SMILE, share=0.5)
    assert half.controls["pitch"].min() == pytest.approx(-4.5, abs=0.5)


def test_a_recorded_motion_is_edited_without_losing_what_it_recorded(tmp_path: Path, wave: Path) -> None:
    recorded = read_motion(wave)
    slow = edited(tmp_path, wave, edit=MotionEdit(speed=0.5), controls=Keyframes.of(smile=0.5))
    assert len(slow) == 40 and slow.digest == recorded.digest
    assert np.allclose(slow.values[::2], recorded.values, atol=1e-6)
    assert slow.landmarks.shape == (40, 468, 2) and slow.irises.shape == (40, 10, 2)
    assert slow.controls["smile"] == pytest.approx(0.5)


def test_recorded_and_bundled_motions_follow_each_other(tmp_path: Path, wave: Path) -> None:
    both = edited(tmp_path, wave, NOD, wave)
    assert len(both) == 20 + 55 + 20 - 2 * 10
    assert both.weights[0] == both.weights[-1] == 1 and both.weights[40] == 0
    portrait = animator().portrait(ROOT / "examples" / "portrait.jpg", longest=128)
    assert sum(1 for _ in animator().render(portrait, both, rows=[0, 40, 74])) == 3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"output": Path("new.mp4")}, ".motion"),
        ({"motions": ()}, "a motion is needed"),
        ({"mix": SMILE, "share": 2.0}, "--mix"),
    ],
)
def test_edits_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        EditRequest(**{"motions": (NOD,), "output": tmp_path / "new.motion", **options})


def test_what_is_no_motion_is_refused_with_the_names_that_are(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"film")
    for name in ("nood", str(tmp_path / "clip.mp4"), str(tmp_path / "gone.motion")):
        with pytest.raises(InputError) as refused:
            edited(tmp_path, Path(name))
        assert "look-around" in (refused.value.hint or "")


def test_an_input_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.motion"
    edit(EditRequest(motions=(NOD,), output=path))
    for overwrite in (False, True):
        with pytest.raises(UsageError):
            edit(EditRequest(motions=(path,), output=path, overwrite=overwrite))
