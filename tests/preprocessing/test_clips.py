"""One film to its clips: tubes, crops, landmarks, reasons to drop."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from face_tools import detector, mesh, portrait, scene, turned
from preprocess_tools import EMPTY, HEAD, cut_up, frame, frames_of, landmarks_of, moving, write_film

from mcnet_cli.face import faces_in
from mcnet_cli.media import open_frames, read_image, write_image
from mcnet_cli.preprocessing.inputs import Segment


def outcome(rows: list[dict]) -> list[tuple[int, int, str | None]]:
    return [(row["first"], row["last"], row["reason"]) for row in rows]


def face_in(picture: np.ndarray) -> np.ndarray:
    """(468, 2) points of the only face in a picture."""
    (face,) = faces_in(picture, detector(), mesh())
    return face.points


def test_a_moving_head_is_one_clip_whose_frames_hold_the_whole_head(tmp_path: Path) -> None:
    writer = cut_up(write_film(tmp_path / "walk.mp4", moving(14), rate="24000/1001"), tmp_path / "out")
    (row,) = writer.rows
    assert row["clip"] == "walk-1/walk#000000-000013.mp4"
    assert (row["status"], row["frames"], row["fps"]) == ("kept", 14, "24000/1001")
    assert (row["start_s"], row["end_s"]) == (0, round(14 * 1001 / 24000, 3))
    with open_frames(tmp_path / "out" / row["clip"]) as clip:
        assert clip.frame_rate == Fraction(24000, 1001)
        assert [picture.shape for picture in clip] == [(256, 256, 3)] * 14
    points = landmarks_of(tmp_path / "out" / row["clip"])["points"].astype(np.float32)
    heights = np.ptp(points[..., 1], axis=1)
    assert 0.4 < heights.mean() / 256 < 0.56, (
        "a mesh of about 0.53 of the square, less what the movement takes"
    )
    assert points.min() > 20
    assert points.max() < 236


def test_the_landmarks_lie_on_the_face_in_the_clip(tmp_path: Path) -> None:
    writer = cut_up(write_film(tmp_path / "walk.mp4", moving(12)), tmp_path / "out")
    clip = tmp_path / "out" / writer.rows[0]["clip"]
    saved = landmarks_of(clip)
    assert (saved["points"].shape, saved["points"].dtype) == ((12, 468, 2), np.float16)
    assert (saved["irises"].shape, saved["irises"].dtype) == ((12, 10, 2), np.float16)
    assert (saved["scores"].shape, saved["scores"].dtype) == ((12,), np.float32)
    eyes = saved["points"][:, [159, 145, 386, 374]].astype(np.float32).reshape(12, 2, 2, 2).mean(2)
    centres = saved["irises"][:, [0, 5]].astype(np.float32)
    assert np.abs(centres - eyes).max() < 4
    for picture, points in zip(frames_of(clip)[::5], saved["points"][::5], strict=True):
        assert np.abs(face_in(picture) - points).mean() < 2.5


def test_the_clip_shows_what_the_film_shows(tmp_path: Path) -> None:
    frames = moving(12, dx=0)
    writer = cut_up(write_film(tmp_path / "still.mp4", frames), tmp_path / "out")
    left, top, side, _ = writer.rows[0]["box"]
    matrix = np.array([[256 / side, 0, -left * 256 / side], [0, 256 / side, -top * 256 / side]])
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV's coordinates name pixels' middles
    expected = cv2.warpAffine(frames[0], matrix, (256, 256), borderMode=cv2.BORDER_REPLICATE)
    shown = frames_of(tmp_path / "out" / writer.rows[0]["clip"])[5]
    assert np.abs(shown.astype(float) - expected).mean() < 4


def test_a_cut_ends_a_clip_and_begins_another(tmp_path: Path) -> None:
    elsewhere = 255 - EMPTY // 3
    elsewhere[60:210, 90:240] = frame((90, 60, HEAD))[60:210, 90:240]
    film = write_film(tmp_path / "two.mp4", moving(10, x=80, y=50) + [elsewhere] * 10)
    rows = cut_up(film, tmp_path / "out").rows
    assert outcome(rows) == [(0, 9, None), (10, 19, None)]
    assert [row["ended"] for row in rows] == ["cut", "end"]
    assert [row["identity"] for row in rows] == ["two-1", "two-2"]


def test_two_people_are_two_clips(tmp_path: Path) -> None:
    frames = [frame((5, 40 + step, HEAD), (165, 60 - step, HEAD)) for step in range(12)]
    writer = cut_up(write_film(tmp_path / "duo.mp4", frames), tmp_path / "out")
    assert outcome(writer.rows) == [(0, 11, None), (0, 11, None)]
    lefts = sorted(row["box"][0] for row in writer.rows)
    assert lefts[1] - lefts[0] == pytest.approx(160, abs=15)


def test_a_face_that_is_hidden_for_a_moment_stays_one_clip(tmp_path: Path) -> None:
    frames = [picture.copy() for picture in moving(19, dx=0)]
    for picture in frames[8:11]:
        picture[60:190, 70:200] = 128  # something is held before it
    writer = cut_up(write_film(tmp_path / "peekaboo.mp4", frames), tmp_path / "out")
    assert outcome(writer.rows) == [(0, 18, None)]
    assert writer.rows[0]["hidden_frames"] == 3
    saved = landmarks_of(tmp_path / "out" / writer.rows[0]["clip"])
    assert (saved["scores"] == 0).tolist() == [False] * 8 + [True] * 3 + [False] * 8
    assert np.isnan(saved["points"][8:11]).all()
    assert np.isfinite(saved["points"][:8]).all()


@pytest.mark.slow
def test_a_face_that_leaves_ends_its_clip_where_it_was_last_seen(tmp_path: Path) -> None:
    film = write_film(tmp_path / "gone.mp4", [*moving(10), *[EMPTY] * 10])
    rows = cut_up(film, tmp_path / "out").rows
    assert outcome(rows) == [(0, 9, None)]
    assert rows[0]["ended"] == "lost"


def test_a_face_that_comes_later_is_found_within_the_stride(tmp_path: Path) -> None:
    one, two = frame((5, 40, HEAD)), frame((5, 40, HEAD), (165, 60, HEAD))
    film = write_film(tmp_path / "late.mp4", [one] * 4 + [two] * 10)
    rows = cut_up(film, tmp_path / "out", detect_every=3).rows
    assert rows[0]["first"] == 0
    assert 4 <= rows[1]["first"] <= 6


def test_a_scene_without_faces_is_searched_more_often_than_one_with_some(tmp_path: Path) -> None:
    one, two = frame((5, 40, HEAD)), frame((5, 40, HEAD), (165, 60, HEAD))
    film = write_film(tmp_path / "late.mp4", [EMPTY] * 3 + [one] * 4 + [two] * 20)
    first, second = (row["first"] for row in cut_up(film, tmp_path / "out").rows)
    assert first == 5
    assert second == 20


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of a head that walks from left to right, 180 pixels in 36 frames."""
    background = cv2.resize(EMPTY, (640, 240))
    head = frame((60, 40, HEAD))[40:190, 60:210]
    pictures = []
    for step in range(36):
        picture = background.copy()
        picture[40:190, 190 + 5 * step : 340 + 5 * step] = head
        pictures.append(picture)
    return write_film(tmp_path_factory.mktemp("walk") / "far.mp4", pictures)


def test_a_face_that_walks_away_goes_on_in_another_clip_without_a_lost_frame(
    walk: Path, tmp_path: Path
) -> None:
    rows = cut_up(walk, tmp_path / "out", min_frames=5).rows
    assert [row["ended"] for row in rows] == ["moved", *["moved"] * (len(rows) - 2), "end"]
    assert len(rows) >= 2
    firsts = [row["first"] for row in rows]
    assert firsts == [0, *(row["last"] + 1 for row in rows[:-1])]
    assert rows[-1]["last"] == 35
    assert {row["identity"] for row in rows} == {"far-1"}, "it is the same person"
    assert rows[0]["clip"] == f"far-1/far#000000-{rows[0]['last']:06d}.mp4"
    for row in rows:
        points = landmarks_of(tmp_path / "out" / row["clip"])["points"].astype(np.float32)
        assert np.ptp(points[..., 1], axis=1).mean() / 256 > 0.53 / 1.6 - 0.02
        assert points.min() > 5
        assert points.max() < 251


@pytest.mark.slow
def test_by_the_papers_rule_a_clip_ends_where_the_box_shares_a_fourth_with_the_first(
    walk: Path, tmp_path: Path
) -> None:
    rows = cut_up(walk, tmp_path / "out", min_frames=5, rule="paper", min_face=64).rows
    assert len(rows) >= 3
    assert [row["ended"] for row in rows[:-1]] == ["moved"] * (len(rows) - 1)
    for row in rows[:-1]:
        moved = 5 * (row["frames"] - 1)
        assert 33 < moved <= 42, "0.6 of the face's width of 65 pixels"


def test_a_face_that_sways_stays_one_clip_and_whole(tmp_path: Path) -> None:
    xs = (85 + 45 * np.sin(np.arange(26) / 4)).astype(int)
    film = write_film(tmp_path / "dance.mp4", [frame((int(x), 40, HEAD)) for x in xs])
    (row,) = cut_up(film, tmp_path / "out").rows
    assert (row["first"], row["last"], row["ended"], row["status"]) == (0, 25, "end", "kept")
    points = landmarks_of(tmp_path / "out" / row["clip"])["points"].astype(np.float32)
    assert points.min() > 10
    assert points.max() < 246


@pytest.mark.parametrize(
    ("reason", "settings"),
    [
        ("short", {"min_frames": 13}),
        ("small", {"min_face": 90}),
        ("low score", {"min_score": 0.95}),
        ("blurred", {"min_sharpness": 5000}),
        ("at the border", {}),
    ],
)
def test_what_is_not_worth_a_clip_is_dropped_with_a_reason(
    tmp_path: Path, reason: str, settings: dict
) -> None:
    frames = [picture.copy() for picture in moving(12)]
    if reason == "low score":
        frames[5][60:190, 70:200] = 128  # hidden in one of twelve
    if reason == "at the border":
        frames = [np.ascontiguousarray(picture[70:, 94:]) for picture in moving(12, dx=0)]
    writer = cut_up(write_film(tmp_path / "film.mp4", frames), tmp_path / "out", **settings)
    assert [(row["status"], row["reason"], row["clip"]) for row in writer.rows] == [("dropped", reason, None)]
    assert not writer.files
    assert not list((tmp_path / "out").iterdir())


def test_a_blurred_film_is_dropped_and_the_sharp_one_kept(tmp_path: Path) -> None:
    sharp = moving(12)
    soft = [cv2.GaussianBlur(picture, (0, 0), 2) for picture in sharp]
    assert cut_up(write_film(tmp_path / "sharp.mp4", sharp), tmp_path / "out").rows[0]["reason"] is None
    assert cut_up(write_film(tmp_path / "soft.mp4", soft), tmp_path / "out").rows[0]["reason"] == "blurred"


def test_a_film_without_faces_has_a_row_that_says_so(tmp_path: Path) -> None:
    writer = cut_up(write_film(tmp_path / "sky.mp4", [EMPTY] * 5), tmp_path / "out")
    assert [(row["status"], row["reason"]) for row in writer.rows] == [("dropped", "no face")]


def test_the_papers_rule_enlarges_the_tubes_box_by_a_fifth(tmp_path: Path) -> None:
    film = write_film(tmp_path / "walk.mp4", moving(12))
    (row,) = cut_up(film, tmp_path / "out", rule="paper", min_face=64).rows
    points = landmarks_of(tmp_path / "out" / row["clip"])["points"].astype(np.float32)
    low, high = points.min((0, 1)), points.max((0, 1))
    assert float((high - low).max()) == pytest.approx(256 / 1.2, abs=1)
    assert (low + high) / 2 == pytest.approx((128, 128), abs=1)


def test_the_papers_rule_wants_256_pixels_and_nothing_beyond_the_picture(tmp_path: Path) -> None:
    film = write_film(tmp_path / "walk.mp4", moving(12))
    assert cut_up(film, tmp_path / "out", rule="paper").rows[0]["reason"] == "small"
    cropped = [np.ascontiguousarray(picture[70:, :]) for picture in moving(12)]
    film = write_film(tmp_path / "high.mp4", cropped)
    (row,) = cut_up(film, tmp_path / "out", rule="paper", min_face=60).rows
    assert row["reason"] == "at the border"


def test_pictures_of_a_clip_are_numbered_from_one(tmp_path: Path) -> None:
    film = write_film(tmp_path / "walk.mp4", moving(12))
    (row,) = cut_up(film, tmp_path / "out", format="png", size=128).rows
    assert row["clip"] == "walk-1/walk#000000-000011"
    names = sorted(path.name for path in (tmp_path / "out" / row["clip"]).iterdir())
    assert names == [f"{number:05d}.png" for number in range(1, 13)]
    assert read_image(tmp_path / "out" / row["clip"] / names[0]).shape == (128, 128, 3)
    assert landmarks_of(tmp_path / "out" / row["clip"])["points"].max() < 128


def test_another_rate_leaves_frames_out_and_counts_in_it(tmp_path: Path) -> None:
    film = write_film(tmp_path / "fast.mp4", moving(24, dx=1), rate="50")
    (row,) = cut_up(film, tmp_path / "out", fps=Fraction(25)).rows
    assert (row["first"], row["last"], row["fps"], row["end_s"]) == (0, 11, "25", 0.48)


def test_level_clips_are_turned_so_that_the_eyes_are_level(tmp_path: Path) -> None:
    tilted = [turned(portrait(), 15)[:240, 80:400].copy() for _ in range(10)]
    film = write_film(tmp_path / "tilted.mp4", tilted)
    (plain,) = cut_up(film, tmp_path / "plain").rows
    (level,) = cut_up(film, tmp_path / "level", align="eyes").rows
    angles = []
    for folder, row in (("plain", plain), ("level", level)):
        points = landmarks_of(tmp_path / folder / row["clip"])["points"].astype(np.float32)
        eyes = (points[:, 263] - points[:, 33]).mean(0)
        angles.append(float(np.degrees(np.arctan2(eyes[1], eyes[0]))))
    assert angles[0] < -10
    assert abs(angles[1]) < 0.5
    assert level["turned_deg"] == pytest.approx(angles[0], abs=1)
    shown = face_in(frames_of(tmp_path / "level" / level["clip"])[3])
    saved = landmarks_of(tmp_path / "level" / level["clip"])["points"][3]
    assert np.abs(shown - saved).mean() < 2.5


def test_a_followed_face_stays_where_it_is_in_the_clip(tmp_path: Path) -> None:
    film = write_film(tmp_path / "walk.mp4", moving(16, dx=2))
    wander = []
    for name, settings in (("fixed", {"align": "eyes"}), ("follow", {"align": "eyes", "follow": True})):
        (row,) = cut_up(film, tmp_path / name, **settings).rows
        points = landmarks_of(tmp_path / name / row["clip"])["points"].astype(np.float32)
        wander.append(float(np.ptp(points[:, 1, 0])))
        shown = face_in(frames_of(tmp_path / name / row["clip"])[10])
        assert np.abs(shown - points[10]).mean() < 2.5
    assert wander[0] > 40
    assert wander[1] < 12


@pytest.mark.slow
def test_a_followed_face_may_cross_the_picture_but_not_leap(tmp_path: Path) -> None:
    walk = [scene(640, 240, [(10 + 16 * t, 40, HEAD)]) for t in range(30)]
    jumped = [scene(640, 240, [(10 + 400 * (t > 9), 40, HEAD)]) for t in range(20)]
    for name, frames, tubes in (("walk", walk, 1), ("jump", jumped, 2)):
        film = write_film(tmp_path / f"{name}.mp4", frames)
        rows = cut_up(film, tmp_path / name, align="eyes", follow=True).rows
        assert len(rows) == tubes
        row = rows[0]
        points = landmarks_of(tmp_path / name / row["clip"])["points"].astype(np.float32)
        shown = frames_of(tmp_path / name / row["clip"])
        for number in range(2, len(shown), 5):
            assert np.abs(face_in(shown[number]) - points[number]).mean() < 2.5


def test_a_picture_gives_a_portrait_a_face(tmp_path: Path) -> None:
    write_image(tmp_path / "pair.png", frame((5, 40, HEAD), (165, 60, HEAD)))
    writer = cut_up(tmp_path / "pair.png", tmp_path / "out")
    assert [row["clip"] for row in writer.rows] == ["pair-1/pair.png", "pair-2/pair.png"]
    for row in writer.rows:
        shown = read_image(tmp_path / "out" / row["clip"])
        assert shown.shape == (256, 256, 3)
        assert np.abs(face_in(shown) - landmarks_of(tmp_path / "out" / row["clip"])["points"][0]).mean() < 2.5


def test_a_segment_of_a_table_gives_the_face_that_it_points_at_while_it_says(tmp_path: Path) -> None:
    film = write_film(tmp_path / "duo.mp4", [frame((5, 40, HEAD), (165, 60, HEAD))] * 31)
    right = (165 / 320, 60 / 240, 315 / 320, 210 / 240)
    segments = (
        Segment("id10", Fraction(8, 25), Fraction(20, 25), right, "train"),
        Segment("id11", Fraction(14, 25), Fraction(30, 25), (0.0, 0.2, 0.45, 0.8)),
    )
    rows = cut_up(film, tmp_path / "out", segments=segments).rows
    assert [row["clip"] for row in rows] == ["id10/duo#000008-000019.mp4", "id11/duo#000014-000029.mp4"]
    assert rows[0]["partition"] == "train"
    assert "partition" not in rows[1]
    assert rows[0]["box"][0] - rows[1]["box"][0] == pytest.approx(160, abs=15)
    assert rows[0]["start_s"] == 8 / 25
