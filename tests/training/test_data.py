"""Clips found and read, pairs drawn from them, and how they are changed at random."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from animation_tools import SIZE, picture, write_clip
from face_tools import portrait
from training_tools import LANDMARKS, PAPER, config, points_of, run_training, write_clips, write_face_clip

from mcnet_cli.errors import InputError, SystemFailure
from mcnet_cli.media import write_image
from mcnet_cli.media.clips import Split, find_clips, split_of
from mcnet_cli.progress import Progress
from mcnet_cli.training.augment import ColourChange, Jitter, augment, jittered
from mcnet_cli.training.config import AugmentConfig
from mcnet_cli.training.dataset import Clip, Dataset, load_dataset
from mcnet_cli.training.reporting import STILL
from mcnet_cli.training.sampling import Pair, PairSampler, stream, workers_watched

CPU = torch.device("cpu")


def write_pictures(folder: Path, count: int = 4) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        write_image(folder / f"{number:04d}.png", picture(0.9 * number), overwrite=True)
    return folder


def loaded(folder: Path, *changes: str, run: Path | None = None, base: list[str] = PAPER) -> Dataset:
    return load_dataset(find_clips(folder), config(*changes, base=base), run or folder.parent / "run")


def numbered_clip(name: str, count: int = 8, identity: str = "") -> Clip:
    """A clip whose frames say their number."""
    frames = np.stack([np.full((8, 8, 3), number, np.uint8) for number in range(count)])
    return Clip(name, identity or name, frames, None)


def test_identity_is_the_folder_or_the_name_up_to_the_number_sign(tmp_path: Path) -> None:
    for name in (
        "anna#0-20.mp4",
        "anna#30-50.mp4",
        "ben.mp4",
        "carl/one.mp4",
        "carl/two.MP4",
        "deep/er/x.mkv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    write_pictures(tmp_path / "eve" / "first", 1)
    write_pictures(tmp_path / "fay", 1)
    found = {clip.name: clip.identity for clip in find_clips(tmp_path)}
    assert found == {
        "anna#0-20.mp4": "anna",
        "anna#30-50.mp4": "anna",
        "ben.mp4": "ben",
        "carl/one.mp4": "carl",
        "carl/two.MP4": "carl",
        "deep/er/x.mkv": "deep/er",
        "eve/first": "eve",
        "fay": "fay",
    }


def test_the_parts_of_the_papers_data_are_trained_and_measured_on(tmp_path: Path) -> None:
    for name in ("train/id1#clip#0-9.mp4", "test/id2#clip#0-9.mp4", "notes.txt", ".cache/x.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    write_pictures(tmp_path / "train" / "id3#clip#0-9.mp4", 1)  # frames in a folder called like a video
    split = split_of(tmp_path)
    assert (split.train, split.held_out) == (tmp_path / "train", tmp_path / "test")
    assert {clip.identity for clip in find_clips(split.train)} == {"id1", "id3"}


@pytest.mark.parametrize("beside", ["anna/1.mp4", "1.mp4", "val/1.mp4"])
def test_folders_beside_train_and_test_make_them_people_and_it_is_said(tmp_path: Path, beside: str) -> None:
    for name in ("train/1.mp4", "test/1.mp4", beside):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    split = split_of(tmp_path)
    assert (split.train, split.held_out) == (tmp_path, None)
    assert "train/, test/" in str(split.why)
    assert "count as people" in str(split.why)


def test_a_folder_of_people_is_taken_whole(tmp_path: Path) -> None:
    (tmp_path / "anna").mkdir()
    (tmp_path / "anna" / "1.mp4").touch()
    (tmp_path / "test").mkdir()  # holds no clips
    assert split_of(tmp_path) == Split(tmp_path)


def test_pictures_beside_videos_and_hidden_names_are_no_clips(tmp_path: Path) -> None:
    for name in ("a.mp4", "preview.png", ".hidden.mp4", ".trash/b.mp4", "clips.jsonl", "a.landmarks.npz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [clip.name for clip in find_clips(tmp_path)] == ["a.mp4"]


def test_links_are_followed_but_never_in_circles(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.mp4").touch()
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "person").symlink_to(tmp_path / "real")
    (clips / "b.mp4").symlink_to(tmp_path / "real" / "a.mp4")
    (clips / "round").symlink_to(clips)
    assert [clip.name for clip in find_clips(clips)] == ["b.mp4", "person/a.mp4"]


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.touch()])
def test_a_folder_without_clips_is_an_input_error(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "clips")
    with pytest.raises(InputError, match="clips"):
        find_clips(tmp_path / "clips")


@pytest.mark.parametrize("frames", ["memory", "disk", "seek"])
def test_frames_are_the_same_wherever_they_lie(tmp_path: Path, frames: str) -> None:
    write_face_clip(tmp_path / "clips" / "a.mp4", 7)
    write_pictures(tmp_path / "clips" / "b")
    data = loaded(tmp_path / "clips", f"data.frames={frames}")
    for clip, count in zip(data.clips, (7, 4), strict=True):
        assert len(clip.frames) == count
        for number in (count - 1, 0, 2):
            assert np.array_equal(clip.frames[number], picture(0.9 * number)), (clip.name, number)


def test_frames_on_disk_serve_the_next_run_without_the_clip(tmp_path: Path) -> None:
    write_face_clip(tmp_path / "clips" / "a.mp4")
    cache = f"data.cache={tmp_path / 'cache'}"
    loaded(tmp_path / "clips", "data.frames=disk", cache)
    kept = list((tmp_path / "cache").iterdir())
    before = kept[0].stat().st_mtime_ns
    loaded(tmp_path / "clips", "data.frames=disk", cache, run=tmp_path / "another")
    assert [path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()] == [before]


def test_auto_keeps_little_in_memory_and_seeks_in_much(tmp_path: Path) -> None:
    write_face_clip(tmp_path / "clips" / "a.mp4")
    assert isinstance(loaded(tmp_path / "clips", "data.frames=auto").clips[0].frames, np.ndarray)
    much = loaded(tmp_path / "clips", "data.frames=auto", "data.memory_gb=0.00001")
    assert not isinstance(much.clips[0].frames, np.ndarray)


def test_of_a_long_clip_every_nth_frame_is_used(tmp_path: Path) -> None:
    write_face_clip(tmp_path / "clips" / "a.mp4", 9)
    for frames in ("memory", "seek"):
        clip = loaded(tmp_path / "clips", f"data.frames={frames}", "data.frames_per_clip=4").clips[0]
        assert len(clip.frames) == 3
        assert np.array_equal(clip.frames[1], picture(0.9 * 3))


def test_landmarks_beside_a_clip_are_scaled_to_its_frames(tmp_path: Path) -> None:
    from mcnet_cli.checkpoint.safetensors_file import write_tensors

    write_face_clip(tmp_path / "clips" / "a.mp4", 4, size=2 * SIZE)
    write_face_clip(tmp_path / "clips" / "b.mp4", 4, landmarks=False)
    tensors = {"points": torch.from_numpy(points_of(4)), "scores": torch.tensor([1.0, 0.0, 1.0, 1.0])}
    write_tensors(tmp_path / "clips" / "b.landmarks.safetensors", tensors, {})
    one, other = loaded(tmp_path / "clips", base=LANDMARKS).clips
    assert one.points is not None and other.points is not None
    assert np.allclose(one.points, points_of(4, 2 * SIZE) / 2)
    assert np.allclose(other.points, points_of(4)[[0, 2, 3]])  # the second frame shows no face
    assert np.array_equal(other.frames[1], picture(0.9 * 2))


def test_bad_clips_are_named_once_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clips = write_clips(tmp_path / "clips", "abc")
    (clips / "broken.mp4").write_bytes(b"no video at all")
    write_clip(clips / "wide.mp4", [np.zeros((64, 96, 3), np.uint8)] * 3)
    write_face_clip(clips / "single.mp4", 1)
    data = loaded(clips, base=LANDMARKS)
    data.require_most(clips)
    assert {report.name: report.problem for report in data.bad}.keys() == {
        "broken.mp4",
        "wide.mp4",
        "single.mp4",
    }
    assert "not square" in str(next(r.problem for r in data.bad if r.name == "wide.mp4"))
    assert "1 frame;" in str(next(r.problem for r in data.bad if r.name == "single.mp4"))
    assert sum("broken.mp4" in record.getMessage() for record in caplog.records) == 1
    (clips / "empty.mp4").touch()
    with pytest.raises(InputError, match="clips: 4 of 7 clips can't be used"):
        loaded(clips, base=LANDMARKS).require_most(clips)


def test_clips_without_a_face_cannot_be_used_where_landmarks_are_wanted(tmp_path: Path) -> None:
    write_face_clip(tmp_path / "clips" / "a.mp4", 3, landmarks=False)
    data = loaded(tmp_path / "clips", base=LANDMARKS)
    with pytest.raises(InputError, match=r"clips: none of 1 clips .* shows a face in 0 of 3 frames"):
        data.require_most(tmp_path / "clips")
    assert list((tmp_path / "run" / "landmarks").iterdir())  # and they aren't looked for again


def test_pairs_depend_on_their_number_alone() -> None:
    clips = [numbered_clip(name) for name in "abc"]
    one, other = PairSampler(clips, 3), PairSampler(clips, 3)
    forwards = [one.draw(number).pair for number in range(12)]
    backwards = [other.draw(number).pair for number in reversed(range(12))]
    for pair, again in zip(forwards, reversed(backwards), strict=True):
        assert pair is not None and again is not None
        assert (pair.clip, pair.source[0, 0, 0]) == (again.clip, again.source[0, 0, 0])
    assert [pair.clip for pair in forwards if pair] != [
        draw.pair.clip for n in range(12) if (draw := PairSampler(clips, 4).draw(n)).pair
    ]


def test_an_epoch_shows_every_identity_as_often_whatever_its_clips() -> None:
    clips = [numbered_clip(f"many{number}", identity="many") for number in range(5)]
    clips += [numbered_clip("one"), numbered_clip("two")]
    sampler = PairSampler(clips, 0, repeats=4)
    assert sampler.epoch_length == 12
    names = [draw.pair.clip for n in range(12) if (draw := sampler.draw(n)).pair]
    assert (names.count("one"), names.count("two")) == (4, 4)


def test_the_source_is_the_earlier_frame_unless_time_is_flipped() -> None:
    clips = [numbered_clip("a", 50)]

    def backwards(time_flip: float) -> float:
        sampler = PairSampler(clips, 0, time_flip=time_flip)
        pairs = [pair for number in range(200) if (pair := sampler.draw(number).pair)]
        return float(np.mean([p.source[0, 0, 0] > p.driving[0, 0, 0] for p in pairs]))

    assert backwards(0.0) == 0.0
    assert 0.35 < backwards(0.5) < 0.65


@pytest.mark.slow
def test_expressive_pairs_differ_more() -> None:
    points = np.zeros((40, 468, 2), np.float32)
    points[:, 33], points[:, 263] = (10, 10), (30, 10)
    points[:, 14, 1] = np.arange(40)  # the mouth opens
    clip = Clip("a", "a", np.zeros((40, 8, 8, 3), np.uint8), points)

    def difference(share: float) -> float:
        sampler = PairSampler([clip], 0, expressive_share=share)
        pairs = [pair for number in range(100) if (pair := sampler.draw(number).pair)]
        return float(np.mean([abs(p.source_points[14, 1] - p.driving_points[14, 1]) for p in pairs]))

    assert difference(1.0) > 1.3 * difference(0.0)


def test_shares_of_several_processes_never_overlap() -> None:
    sampler = PairSampler([numbered_clip(name) for name in "abc"], 0)
    shares = [[next(s).pair for _ in range(5)] for s in (stream(sampler, rank, 2, 0) for rank in range(2))]
    numbers = [pair.number for share in shares for pair in share if pair]
    assert sorted(numbers) == list(range(10))


def test_a_clip_that_fails_while_it_is_read_is_replaced_and_reported(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", "abc")
    data = loaded(clips, "data.frames=seek")
    (clips / "b.mp4").write_bytes(b"gone bad")
    draws = [PairSampler(data.clips, 0).draw(number) for number in range(6)]
    assert {name for draw in draws for name in draw.problems} == {"b.mp4"}
    assert {draw.pair.clip for draw in draws if draw.pair} == {"a.mp4", "c.mp4"}
    assert all(draw.pair for draw in draws)


def test_a_run_counts_clips_that_go_bad_and_stops_when_most_have(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", "ab")
    settings = config("steps=30", "data.frames=seek", base=PAPER)

    def spoil(progress: Progress) -> None:
        if progress.stage == "training" and progress.done == 1:
            for name in "ab":
                (clips / f"{name}.mp4").write_bytes(b"gone bad")

    with pytest.raises(InputError, match="can't be read"):
        run_training(clips, tmp_path / "run", settings, spoil)
    assert '"bad_clip": "' in (tmp_path / "run" / "log.jsonl").read_text()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_failing_disk_is_a_failure_of_the_system(workers: int) -> None:
    class Broken(np.ndarray):
        def __getitem__(self, _number):  # type: ignore[no-untyped-def]
            raise OSError(5, "Input/output error")

    clip = Clip("a", "a", np.zeros((4, 8, 8, 3), np.uint8).view(Broken), None)
    draws = stream(PairSampler([clip], 0), 0, 1, workers)
    error = next(draws).error
    draws.close()
    assert isinstance(error, SystemFailure)
    assert "can't read a: Input/output error" in str(error)


def test_a_run_lists_the_clips_that_it_leaves_out(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", "ab")
    (clips / "broken.mp4").write_bytes(b"no video at all")
    report = run_training(clips, tmp_path / "run", config("steps=1", base=PAPER))
    assert report.bad_clips == 1
    first, last = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert '"bad_clip": "broken.mp4", "reason": ' in first
    assert '"bad_clips": 1' in last


def test_a_dead_worker_is_a_failure_of_the_system() -> None:
    class Deadly(PairSampler):
        def draw(self, number: int):  # type: ignore[no-untyped-def]
            if number == 3:
                import os

                os._exit(1)
            return super().draw(number)

    draws = stream(Deadly([numbered_clip("a")], 0), 0, 1, 1)
    with pytest.raises(SystemFailure, match="has died"), workers_watched():
        list(next(draws) for _ in range(20))


def still_pair(number: int = 0, size: int = SIZE) -> Pair:
    points = points_of(2, size)
    return Pair(number, "a", picture(0.0, size), picture(0.9, size), points[0], points[1])


def test_without_chance_a_batch_is_the_pair_itself() -> None:
    batch = augment([still_pair()], SIZE, STILL, 0, CPU)
    assert torch.equal(
        (batch.driving[0] * 255).round().byte().permute(1, 2, 0), torch.from_numpy(picture(0.9))
    )
    expected = torch.from_numpy(points_of(2)[1]) * (2 / (SIZE - 1)) - 1
    assert torch.allclose(batch.driving_points[0], expected, atol=1e-6)


def test_mattes_show_the_person_of_each_frame_as_it_was_changed() -> None:
    face = cv2.resize(portrait(), (128, 128), interpolation=cv2.INTER_AREA)
    nobody = np.full_like(face, 120)
    pair = replace(still_pair(size=128), source=face, driving=nobody)
    assert augment([pair], 128, STILL, 0, CPU).source_people is None
    mirrored = AugmentConfig(**(_zeros() | {"flip": 1.0}))
    for change in (STILL, mirrored):
        batch = augment([pair], 128, change, 0, CPU, people=True)
        assert batch.source_people is not None and batch.driving_people is not None
        assert batch.source_people[0, 0, 50:90, 50:78].mean() > 0.95
        assert batch.source_people[0, 0, :10, [*range(10), *range(118, 128)]].mean() < 0.1
        assert batch.driving_people.mean() < 0.05


def test_mirroring_mirrors_pictures_and_points_exactly() -> None:
    still = augment([still_pair()], SIZE, STILL, 0, CPU)
    flipped = augment([still_pair()], SIZE, AugmentConfig(**(_zeros() | {"flip": 1.0})), 0, CPU)
    assert torch.equal(flipped.source, still.source.flip(3))
    assert torch.allclose(flipped.source_points, still.source_points * torch.tensor([-1.0, 1.0]), atol=1e-6)
    assert flipped.mirrored.tolist() == [True]


def _zeros() -> dict[str, float]:
    return {name: getattr(STILL, name) for name in AugmentConfig.__slots__}


def test_points_stay_on_what_they_mark_under_random_geometry() -> None:
    size = 128
    frame = np.zeros((size, size, 3), np.uint8)
    spots = np.array([[40, 50], [88, 60], [64, 90]], np.float32)
    for spot in spots:
        cv2.circle(frame, [int(v) for v in spot], 4, (255, 255, 255), -1)
    points = np.tile(spots[0], (468, 1)).astype(np.float32)
    points[: len(spots)] = spots
    pairs = [Pair(number, "a", frame, frame, points, points) for number in range(6)]
    batch = augment(pairs, size, AugmentConfig(colour=0.0, shape=0.02), 0, CPU)
    for row in range(len(pairs)):
        places = ((batch.source_points[row, :3] + 1) * (size - 1) / 2).round().long().clamp(0, size - 1)
        for x, y in places.tolist():
            assert batch.source[row, 0, y, x] > 0.5


def test_changes_of_a_pair_do_not_depend_on_its_neighbours() -> None:
    config = AugmentConfig(jitter=0.1)
    alone = augment([still_pair(5)], SIZE, config, 0, CPU)
    among = augment([still_pair(4), still_pair(5)], SIZE, config, 0, CPU)
    assert torch.allclose(alone.driving[0], among.driving[1], atol=1e-6)
    assert not torch.allclose(alone.driving[0], among.driving[0], atol=1e-3)


def test_colours_fade_by_chance_to_grey_and_no_further() -> None:
    frame = torch.from_numpy(picture()).permute(2, 0, 1).float()[None] / 255

    def spread(faded: float) -> list[float]:
        changes = [ColourChange.draw(1, 0.0, faded, np.random.default_rng(seed)) for seed in range(40)]
        changed = [change(frame)[0] for change in changes]
        return [float((one.amax(0) - one.amin(0)).mean()) for one in changed]

    whole = float((frame[0].amax(0) - frame[0].amin(0)).mean())
    assert np.allclose(spread(0.0), whole, atol=1e-3)
    shares = np.array(spread(0.5)) / whole
    assert 10 < (shares < 0.99).sum() < 30
    assert -0.001 <= shares.min() < 0.2 and shares.max() < 1.001


def test_both_frames_of_a_pair_fade_alike() -> None:
    frame, points = picture(), points_of(1, SIZE)[0]
    pairs = [Pair(number, "a", frame, frame, points, points) for number in range(4)]
    batch = augment(pairs, SIZE, AugmentConfig(**(_zeros() | {"faded": 1.0})), 0, CPU)
    assert torch.equal(batch.source, batch.driving)
    still = augment(pairs, SIZE, STILL, 0, CPU)
    assert (batch.source - still.source).abs().max() > 0.05


def test_jitter_is_that_of_hsv_and_grey() -> None:
    frame = torch.from_numpy(picture()).permute(2, 0, 1).float() / 255
    turned = jittered([frame[None]], [Jitter((("hue", 0.1),))])[0][0]
    hsv = cv2.cvtColor(frame.permute(1, 2, 0).numpy(), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + 36) % 360
    assert np.allclose(turned.permute(1, 2, 0).numpy(), cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), atol=1e-4)
    pale = jittered([frame[None]], [Jitter((("saturation", 0.0),))])[0][0]
    grey = cv2.cvtColor(frame.permute(1, 2, 0).numpy(), cv2.COLOR_RGB2GRAY)
    assert np.allclose(pale.numpy(), grey, atol=1e-3)
    flat = jittered([frame[None]], [Jitter((("contrast", 0.0),))])[0][0]
    assert np.allclose(flat.numpy(), grey.mean(), atol=1e-3)
    dark = jittered([frame[None]], [Jitter((("brightness", 0.5),))])[0][0]
    assert torch.allclose(dark, frame / 2)


def test_the_order_of_the_jitter_is_random_and_its_reach_bounded() -> None:
    drawn = [Jitter.draw(0.1, np.random.default_rng(seed)).changes for seed in range(40)]
    assert len({tuple(name for name, _ in changes) for changes in drawn}) > 10
    factors = [amount for changes in drawn for name, amount in changes if name != "hue"]
    turns = [amount for changes in drawn for name, amount in changes if name == "hue"]
    assert 0.9 <= min(factors) < 0.95 and 1.05 < max(factors) <= 1.1
    assert -0.1 <= min(turns) < -0.05 and 0.05 < max(turns) <= 0.1


def test_a_read_only_folder_of_links_trains(tmp_path: Path) -> None:
    real = write_clips(tmp_path / "real", "ab")
    clips = tmp_path / "clips"
    clips.mkdir()
    for path in real.iterdir():
        (clips / path.name).symlink_to(path)
    clips.chmod(0o555)
    try:
        report = run_training(clips, tmp_path / "run", config("steps=1", base=PAPER))
    finally:
        clips.chmod(0o755)
    assert report.clips == 2
    shutil.rmtree(clips)
