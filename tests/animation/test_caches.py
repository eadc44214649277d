"""Runs that go on with what earlier ones have loaded, read and encoded make the same films."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from animation_tools import NO_CROP, write_moving_clip, write_photo

from mcnet_cli.animation import AnimationRequest, animate
from mcnet_cli.animation.films import RENDERING, Caches, LruCache, animate_with
from mcnet_cli.progress import Progress

WAYS: tuple[dict[str, object], ...] = (
    {},
    {"fps": 10},
    {"picture": "photo"},
    {"picture": "photo", "size": 32},
)


def request(place: Path, output: Path, **options: object) -> AnimationRequest:
    settings = {"weights": str(place / "tiny.safetensors"), "picture": "network", **NO_CROP, **options}
    settings = {"device": "cpu", "precision": "fp32", "driving": place / "clip.mp4", **settings}
    return AnimationRequest(sources=(place / "photo.png",), output=str(output), **settings)


@pytest.mark.slow
def test_films_have_the_bytes_of_separate_runs(place: Path, tmp_path: Path) -> None:
    kept = Caches()
    for number, options in enumerate(WAYS):
        together, alone = (tmp_path / f"{way}-{number}.mp4" for way in ("together", "alone"))
        animate_with(kept, request(place, together, **options), lambda _: None)
        animate(request(place, alone, **options))
        assert together.read_bytes() == alone.read_bytes(), options


def test_a_driving_is_read_and_a_source_encoded_once(place: Path, tmp_path: Path) -> None:
    kept, told = Caches(), list[Progress]()
    for number in range(2):
        told.clear()
        animate_with(kept, request(place, tmp_path / f"{number}.mp4", strength=1 + number), told.append)
        assert ({progress.stage for progress in told} == {RENDERING}) == bool(number)
    assert [len(values) for values in (kept.animators, kept.drivings, kept.faces, kept.sources)] == [1] * 4


def test_files_that_changed_are_read_again(place: Path, tmp_path: Path) -> None:
    kept, photo, clip = Caches(), tmp_path / "photo.png", tmp_path / "clip.mp4"
    films = []
    for shift in (0.0, 1.5):
        photo.unlink(missing_ok=True)
        write_photo(photo, shift)
        write_moving_clip(clip, 3 + round(shift))
        os.utime(photo, (shift, shift))
        asked = replace(request(place, tmp_path / f"{shift}.mp4", driving=clip), sources=(photo,))
        report = animate_with(kept, asked, lambda _: None)
        films.append((report.results[0].frames, (tmp_path / f"{shift}.mp4").read_bytes()))
    assert [frames for frames, _ in films] == [3, 5]
    assert films[0][1] != films[1][1]


def test_what_was_not_asked_for_longest_goes_first() -> None:
    recent: LruCache[str] = LruCache(2)
    for key in "abac":
        recent.get(key, lambda: "made")
    assert recent.get("a", lambda: "made again") == "made"
    assert recent.get("b", lambda: "made again") == "made again"
    assert len(recent) == 2
