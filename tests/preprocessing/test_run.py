"""Whole runs: the index, resuming, faults, engines that agree."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from places import ROOT
from preprocess_tools import EMPTY, HEAD, contents, frame, index, moving, run, write_film

from mcnet_cli.engines import run_locally, run_on_ray
from mcnet_cli.errors import InputError, SystemFailure, UsageError
from mcnet_cli.media import read_image, write_image
from mcnet_cli.preprocessing import PreprocessPlan, PreprocessRequest, Settings, preprocess
from mcnet_cli.preprocessing.clip_maker import ClipMaker, Networks, OnFrames
from mcnet_cli.preprocessing.inputs import InputFile
from mcnet_cli.preprocessing.records import Records, prepare, unfinished_record


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two people, one person, a picture, a sky, and a file that is no film."""
    folder = tmp_path_factory.mktemp("films")
    write_film(folder / "a.mp4", [frame((5, 40, HEAD), (165, 60, HEAD))] * 11)
    write_film(folder / "b.mp4", moving(11))
    write_image(folder / "c.png", frame((60, 40, HEAD)))
    write_film(folder / "d.mp4", [EMPTY] * 4)
    (folder / "e.mp4").write_bytes(b"no film" * 50)
    return folder


@pytest.fixture(scope="module")
def whole(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an undisturbed run makes of them."""
    output = tmp_path_factory.mktemp("whole") / "clips"
    run(output, films, preview=True)
    return output


def test_the_index_has_a_line_a_tube_in_the_order_of_the_inputs(whole: Path) -> None:
    rows = index(whole)
    assert [(Path(row["source"]).name, row["status"], row["reason"]) for row in rows[:5]] == [
        ("a.mp4", "kept", None),
        ("a.mp4", "kept", None),
        ("b.mp4", "kept", None),
        ("c.png", "kept", None),
        ("d.mp4", "dropped", "no face"),
    ]
    assert rows[5]["status"] == "failed"
    assert "e.mp4" in rows[5]["reason"]
    assert all((whole / row["clip"]).is_file() for row in rows[:4])
    assert {"source", "identity", "box", "frames", "fps", "start_s", "end_s", "score", "versions"} <= {
        *rows[0]
    }


def test_the_preview_shows_every_clip(whole: Path) -> None:
    sheet = read_image(whole / "preview.png")
    heads = [sheet[y : y + 128, x : x + 128] for y in (16, 164) for x in (0, 772)]
    assert all(float(head.std()) > 30 for head in heads)


def test_a_second_run_does_nothing_and_changes_nothing(films: Path, whole: Path) -> None:
    before = contents(whole)
    report = run(whole, films)
    assert (report.worked_on, len(report.records)) == (0, 5)
    assert contents(whole) == before


@pytest.mark.slow
def test_more_workers_and_shards_give_the_same_bytes(films: Path, whole: Path, tmp_path: Path) -> None:
    for part, workers in (((1, 2), 1), ((0, 2), 2)):
        run(tmp_path / "clips", films, shard=part, workers=workers, preview=True)
    assert contents(tmp_path / "clips") == contents(whole)


def test_what_is_missing_is_made_again_and_nothing_else(films: Path, whole: Path) -> None:
    before = contents(whole)
    kept, spoilt = (whole / index(whole)[number]["clip"] for number in (0, 2))
    written = kept.stat().st_mtime_ns
    spoilt.write_bytes(b"cut")
    (whole / "clips.jsonl").unlink()
    assert run(whole, films).worked_on == 1
    assert contents(whole) == before
    assert kept.stat().st_mtime_ns == written


@pytest.mark.slow
def test_a_changed_film_is_worked_on_again_and_its_old_clips_go(tmp_path: Path) -> None:
    film = write_film(tmp_path / "b.mp4", moving(12))
    run(tmp_path / "clips", film)
    write_film(film, moving(10))
    run(tmp_path / "clips", film)
    assert [name for name in contents(tmp_path / "clips") if name.endswith("mp4")] == [
        "b-1/b#000000-000009.mp4"
    ]


@pytest.mark.slow
def test_other_settings_are_another_work(tmp_path: Path) -> None:
    (picture,) = pictures(tmp_path, "b")
    run(tmp_path / "clips", picture.path)
    assert run(tmp_path / "clips", picture.path, settings={"min_face": 200}).worked_on == 1
    assert [row["reason"] for row in index(tmp_path / "clips")] == ["small"]
    assert [*contents(tmp_path / "clips")] == ["clips.jsonl"]


def test_what_a_killed_run_left_of_a_film_goes_when_it_is_worked_on_again(tmp_path: Path) -> None:
    film = write_film(tmp_path / "b.mp4", moving(11))
    prepare(tmp_path / "clips")
    orphan = tmp_path / "clips" / "b-1" / "b#000003-000099.mp4"
    orphan.parent.mkdir()
    orphan.write_bytes(b"of other settings")
    name = orphan.relative_to(tmp_path / "clips").as_posix()
    Records(tmp_path / "clips").write(unfinished_record(InputFile(film, "b"), [name]))
    run(tmp_path / "clips", film)
    assert sorted(os.listdir(orphan.parent)) == [
        f"b#000000-000010.{kind}" for kind in ("landmarks.safetensors", "mp4")
    ]


def test_clips_of_another_video_with_the_same_name_are_not_replaced(tmp_path: Path) -> None:
    mine, yours = (tmp_path / folder / "talk.png" for folder in ("mine", "yours"))
    for path, x in ((mine, 60), (yours, 80)):
        path.parent.mkdir()
        write_image(path, frame((x, 40, HEAD)))
    run(tmp_path / "clips", mine)
    before = contents(tmp_path / "clips")
    with pytest.raises(UsageError, match=r"another talk"):
        run(tmp_path / "clips", yours)
    assert contents(tmp_path / "clips") == before
    moved = mine.rename(tmp_path / "talk.png")
    assert run(tmp_path / "clips", moved).worked_on == 0


@pytest.mark.slow
def test_clips_of_earlier_inputs_stay_in_the_index(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.png", frame((60, 40, HEAD)))
        run(tmp_path / "clips", tmp_path / f"{name}.png")
    assert [row["clip"] for row in index(tmp_path / "clips")] == ["b-1/b.png", "a-1/a.png"]


def test_if_all_inputs_fail_it_is_an_error_and_nothing_is_left(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(b"no film" * 50)
    with pytest.raises(InputError, match=r"all 2 inputs failed; the first: .*a\.mp4"):
        run(tmp_path / "new" / "clips", tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert sorted(os.listdir(tmp_path)) == ["a.mp4", "b.mp4"]


def test_strictness_makes_a_bad_input_an_error_and_keeps_the_good_ones(films: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 of 2 inputs"):
        run(tmp_path / "clips", films / "c.png", films / "e.mp4", strict=True)
    assert [row["status"] for row in index(tmp_path / "clips")] == ["kept", "failed"]


def test_a_damaged_film_is_used_as_far_as_it_goes_and_the_index_says_so(tmp_path: Path) -> None:
    film = write_film(tmp_path / "cut.mkv", moving(24, dx=1))
    film.write_bytes(film.read_bytes()[: film.stat().st_size * 3 // 4])
    report = run(tmp_path / "clips", film)
    (row,) = index(tmp_path / "clips")
    assert row["damaged"] is True
    assert 12 < row["frames"] < 22
    assert len(report.damaged) == 1
    with pytest.raises(InputError, match="only in part"):
        run(tmp_path / "clips", film, strict=True)


def test_a_dry_run_says_what_is_left_and_writes_nothing(films: Path, tmp_path: Path) -> None:
    request = PreprocessRequest(
        inputs=(str(films),), output=tmp_path / "clips", settings=Settings(), dry_run=True
    )
    plan = preprocess(request)
    assert isinstance(plan, PreprocessPlan)
    assert [path.name for path in plan.waiting] == ["a.mp4", "b.mp4", "c.png", "d.mp4", "e.mp4"]
    assert not (tmp_path / "clips").exists()


class Fragile(ClipMaker):
    """Dies at `dies.png` each time, at `once.png` the first time; a library fails at `raises.png`."""

    def make(self, file: InputFile, networks: Networks, on_frames: OnFrames) -> None:
        mark = self.output / "died"
        if file.name == "dies" or (file.name == "once" and not mark.exists()):
            if file.name == "once":
                mark.touch()
            os._exit(1)
        if file.name == "raises":
            networks.__dict__["detector"] = None
        if file.name == "full":
            raise SystemFailure("no space")
        super().make(file, networks, on_frames)
        networks.__dict__.pop("detector", None)


def pictures(folder: Path, *names: str) -> list[InputFile]:
    for name in names:
        write_image(folder / f"{name}.png", frame((60, 40, HEAD)))
    return [InputFile(folder / f"{name}.png", name) for name in names]


@pytest.mark.slow
def test_a_process_that_dies_is_replaced_and_its_work_tried_again(tmp_path: Path) -> None:
    files = pictures(tmp_path, "dies", "once", "raises", "good")
    prepare(tmp_path / "clips")
    maker = Fragile(tmp_path / "clips", Settings())
    finished = [event.finished for event in run_locally(maker, files, 1) if event.finished]
    assert sorted(file.name for file in finished) == ["dies", "good", "once", "raises"]
    failures = {name: record.failure for name, record in Records(tmp_path / "clips").all().items()}
    assert (failures["good"], failures["once"]) == (None, None)
    assert failures["dies"] is not None
    assert "died, 3 times" in failures["dies"]
    assert failures["raises"] is not None
    assert "TypeError" in failures["raises"]


@pytest.mark.slow
def test_a_failing_system_ends_the_run(tmp_path: Path) -> None:
    prepare(tmp_path / "clips")
    maker = Fragile(tmp_path / "clips", Settings())
    with pytest.raises(SystemFailure, match="no space"):
        list(run_locally(maker, pictures(tmp_path, "full"), 1))


def test_leaving_a_run_ends_its_processes_and_leaves_whole_clips_only(films: Path, tmp_path: Path) -> None:
    prepare(tmp_path / "clips")
    maker = ClipMaker(tmp_path / "clips", Settings(min_frames=2))
    long = write_film(tmp_path / "long.mp4", moving(60, dx=0))
    events = run_locally(maker, [InputFile(films / "c.png", "c"), InputFile(long, "long")], 1)
    while next(events).news is None:
        pass
    began = time.monotonic()
    events.close()
    assert time.monotonic() - began < 2
    assert [*contents(tmp_path / "clips")] == ["c-1/c.landmarks.safetensors", "c-1/c.png"]


@pytest.mark.slow
def test_ray_gives_the_same_index_and_the_same_clips(films: Path, whole: Path, tmp_path: Path) -> None:
    report = run(tmp_path / "clips", films, engine="ray", workers=2, preview=True)
    assert report.worked_on == 5
    assert contents(tmp_path / "clips") == contents(whole)
    assert run(tmp_path / "clips", films, engine="ray").worked_on == 0


def test_a_local_cluster_that_does_not_start_is_tried_again_and_then_an_error_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    starts = []

    def too_slow(**options: object) -> None:
        starts.append(options)
        raise Exception("The current node timed out during startup.\nMore of it.")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", too_slow)
    with pytest.raises(SystemFailure, match=r"a local cluster: The current node timed out during startup\.$"):
        run(tmp_path / "clips", *[file.path for file in pictures(tmp_path, "a")], engine="ray")
    assert len(starts) == 3
    assert not (tmp_path / "clips").exists()


@pytest.mark.slow
def test_rays_processes_find_mcnet_where_we_found_it(tmp_path: Path) -> None:
    (file,) = pictures(tmp_path, "good")
    words = ["preprocess", str(file.path), "-o", str(tmp_path / "clips"), "--engine", "ray", "--json"]
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    code += f"from mcnet_cli.cli import main; sys.exit(main({words!r}))"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kept"] == 1


@pytest.mark.slow
def test_ray_tries_again_what_dies_and_notes_what_raises(tmp_path: Path) -> None:
    files = pictures(tmp_path, "dies", "once", "raises", "good")
    prepare(tmp_path / "clips")
    finished = [event.finished for event in run_on_ray(Fragile(tmp_path / "clips", Settings()), files, 2)]
    assert len([file for file in finished if file]) == 4
    failures = {name: record.failure for name, record in Records(tmp_path / "clips").all().items()}
    assert (failures["good"], failures["once"]) == (None, None)
    assert "died, 3 times" in str(failures["dies"])
    assert "TypeError" in str(failures["raises"])


def test_ray_is_asked_for_politely_where_it_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UsageError, match="Ray"):
        run(tmp_path / "clips", *[file.path for file in pictures(tmp_path, "a")], engine="ray")
