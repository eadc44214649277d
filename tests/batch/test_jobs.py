"""Jobs as they are typed: what they mean, and what is wrong with them, before any work."""

import io
import json
import sys
from pathlib import Path

import pytest
import typer
from batch_tools import asked, write_jobs

from mcnet_cli import Keyframes
from mcnet_cli.batch import BatchRequest, plan
from mcnet_cli.batch.batch import JOBS_PER_TASK, checked, tasks_of
from mcnet_cli.batch.jobs import Job, job_options, read_jobs
from mcnet_cli.cli import application
from mcnet_cli.errors import InputError, McnetError, UsageError, WeightsError

ONE = {"source": "anna.png", "driving": "clip0.mp4", "output": "one.mp4"}
OF_RUNS = {"output", "overwrite", "fetch", "dry-run", "save-motion", "json", "quiet", "verbose", "help"}


@pytest.fixture(autouse=True)
def _here(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(inputs)


def jobs_of(text: str, tmp_path: Path, **defaults: str) -> list[Job]:
    path = tmp_path / "jobs"
    path.write_text(text, encoding="utf-8")
    return [*read_jobs(str(path), defaults, None)]


def test_json_and_csv_say_the_same(tmp_path: Path) -> None:
    lines = jobs_of(json.dumps({**ONE, "strength": 1.2, "audio": False, "max_frames": 3}) + "\n", tmp_path)
    table = jobs_of(
        "source,driving,output,strength,audio,max-frames,size\nanna.png,clip0.mp4,one.mp4,1.2,false,3,\n",
        tmp_path,
    )
    (job,) = lines
    assert (job.source, job.driving, job.output) == tuple(ONE.values())
    assert job.options == {"strength": 1.2, "audio": False, "max_frames": 3}
    assert [(other.options, other.output) for other in table] == [(job.options, job.output)]


def test_a_job_s_own_options_go_before_those_for_all(tmp_path: Path) -> None:
    text = "".join(json.dumps({**ONE, **own}) + "\n" for own in ({}, {"max_frames": 2}))
    jobs = jobs_of(text, tmp_path, **{"max-frames": "5", "strength": "0.5"})
    assert [job.options for job in jobs] == [{"max_frames": count, "strength": 0.5} for count in (5, 2)]


def test_every_option_of_animate_is_one_of_jobs_or_of_whole_runs() -> None:
    command = typer.main.get_command(application()).commands["animate"]  # type: ignore[attr-defined]
    names = {name.removeprefix("--") for option in command.params for name in option.opts if name[:2] == "--"}
    with pytest.raises(UsageError) as error:
        job_options({"nonsense": "1"})
    known = {*(error.value.hint or "").removeprefix("there are ").split(", ")}
    names.remove("no-audio")  # audio=false
    assert names - OF_RUNS == known - {"source", "driving", "output"}


def test_jobs_come_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n" + json.dumps(ONE) + "\n"))
    assert [job.place for job in read_jobs("-", {}, None)] == ["stdin, line 2"]


def test_without_an_output_the_film_is_named_after_both_in_the_folder(tmp_path: Path) -> None:
    path = write_jobs(tmp_path / "jobs.jsonl", [{"source": "anna.png", "driving": "clip0.mp4"}])
    (job,) = read_jobs(str(path), {}, "films")
    assert job.output == "films/anna--clip0.mp4"


def test_faces_with_drivings_of_their_own_take_the_place_of_a_job_s_driving(tmp_path: Path) -> None:
    job = {"source": "anna.png", "face": "1=clip1.mp4,0=clip0.mp4"}
    (read,) = read_jobs(str(write_jobs(tmp_path / "jobs.jsonl", [job])), {}, "films")
    assert read.output == "films/anna--clip1+clip0.mp4"
    asked_for = read.request(tmp_path)
    assert asked_for.driving is None
    assert asked_for.face_drivings == ((1, tmp_path / "clip1.mp4"), (0, tmp_path / "clip0.mp4"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"driving": None}, "driving is missing"),
        ({"face": "0=clip0.mp4"}, "takes the place of the driving"),
        ({"source": 3}, "source must be the name"),
        ({"strenght": 1}, "no option strenght"),
        ({"strength": "much"}, "--strength much: must be a number"),
        ({"strength": 11}, "--strength 11.0: must be at least 0"),
        ({"metadata": "perhaps"}, "--metadata perhaps: must be true or false"),
        ({"audio": 3, "output": "one.gif"}, "--audio: one.gif holds no sound"),
        ({"volume": "loud"}, "--volume loud: must be a factor such as 0.5, or decibels"),
        ({"volume": 11}, "--volume 11.0: must be at least 0 and at most 10"),
        ({"codec": "prores"}, "--codec prores: one.mp4 can't hold it"),
        ({"quality": "worst"}, "--quality worst: must be draft, good, high or best"),
        ({"size": [1]}, "--size"),
        ({"on-no-face": "pray"}, "--on-no-face pray"),
        ({"on-no-face": "hold", "on_no_face": "skip"}, "given twice"),
        ({"save-motion": "a.motion"}, "no option save-motion"),
        ({"crop-json": "none.json"}, "a batch writes none"),
        ({"background": "transparent", "picture": "photo"}, "one.mp4"),
        ({"output": "anna.png"}, "anna.png"),
        ({"output": "frames/%05d.png"}, "each job makes one file"),
        ({"output": "-"}, "each job makes one file"),
        ({"output": "nowhere/one.mp4"}, "there is no folder nowhere"),
        ({"output": "clip0.mp4"}, "the same file as the input"),
        ({"output": "taken.mp4"}, "taken.mp4 exists already"),
        ({"output": "other.mp4"}, "is the output of .*line 1 too"),
        ({"weights": "no-such-weights"}, "no-such-weights"),
    ],
)
def test_a_line_that_makes_no_sense_is_named_before_any_work(
    inputs: Path, changes: dict[str, object], says: str
) -> None:
    (inputs / "taken.mp4").write_bytes(b"somebody's")
    jobs = write_jobs(inputs / "bad.jsonl", [{**ONE, "output": "other.mp4"}, {**ONE, **changes}])
    with pytest.raises((UsageError, WeightsError), match=f"bad.jsonl, line 2: .*{says}"):
        checked(asked(jobs))
    assert not (inputs / "batch.records").exists()


@pytest.mark.parametrize(
    ("text", "says", "kind"),
    [
        ("", "no jobs in it", InputError),
        ("{broken", "line 1: is no JSON object", UsageError),
        (json.dumps(ONE) + "\n[1]\n", "line 2: is no JSON object", UsageError),
        ("source,driving\na,b,c\n", "line 2: has more cells", UsageError),
        ("source\na\n", "line 2: driving is missing", UsageError),
        ("{" + " " * (1 << 16), "line 1: is longer than", UsageError),
        ("source,driving\n\0,b\n", "line 2", McnetError),
    ],
)
def test_a_file_that_holds_no_jobs_is_refused(
    tmp_path: Path, text: str, says: str, kind: type[McnetError]
) -> None:
    with pytest.raises(kind, match=says):
        jobs_of(text, tmp_path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_bytes(b"source,driving\n\xff\xfe,\n")
    with pytest.raises(InputError, match="no file of jobs"):
        [*read_jobs(str(tmp_path / "jobs"), {}, None)]


def test_a_product_pairs_all_with_all_and_tells_equal_names_apart(tmp_path: Path) -> None:
    for name in ("a/x.png", "b/x.png", "v1.mp4", "v10.mp4", "v9.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    patterns = f"{tmp_path}/*/x.png", f"{tmp_path}/v*.mp4"
    request = BatchRequest(product=patterns, output="films", options={"weights": "tiny.safetensors"})
    names = [f"x--v{number}{mark}.mp4" for number in (1, 9, 10) for mark in ("", "~2")]
    found = plan(request)
    assert found.waiting == [f"films/{name}" for name in names]
    assert (found.sources, found.drivings, found.tasks, found.done) == (2, 3, 3, 0)
    assert not Path("films").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "a file of jobs or --product"),
        ({"jobs": "j", "product": ("a", "b")}, "a file of jobs or --product"),
        ({"jobs": "j", "engine": "dask"}, "--engine dask"),
        ({"jobs": "j", "workers": 0}, "--workers 0"),
        ({"jobs": "j", "output": "anna.png"}, "is a file"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        BatchRequest(**options)


@pytest.mark.parametrize(
    ("product", "says"),
    [(("none*", "clip*.mp4"), "nothing matches none"), (("anna.png", "clip*.mp4"), "needs -o")],
)
def test_a_product_of_nothing_or_into_nowhere_is_refused(product: tuple[str, str], says: str) -> None:
    output = "films" if "nothing" in says else None
    with pytest.raises(McnetError, match=says):
        [*BatchRequest(product=product, output=output).read()]


def test_a_task_has_the_jobs_of_one_driving_and_one_network_sources_together() -> None:
    def job(source: str, driving: str, weights: str) -> Job:
        return Job("line", source, driving, f"{source}{driving}{weights}", {"weights": weights})

    jobs = [job(s, d, w) for s in "ab" for d in "xy" for w in ("1", "2")]
    jobs += [job("c", "x", "1"), job("a", "x", "1")]
    tasks = tasks_of(jobs)
    assert [[(j.options["weights"], j.driving) for j in task.jobs] for task in tasks] == [
        [("1", "x")] * 4,
        [("1", "y")] * 2,
        [("2", "x")] * 2,
        [("2", "y")] * 2,
    ]
    assert [j.source for j in tasks[0].jobs] == ["a", "a", "b", "c"]
    many = tasks_of([job(str(number), "x", "1") for number in range(JOBS_PER_TASK + 1)])
    assert [len(task.jobs) for task in many] == [JOBS_PER_TASK, 1]


def test_a_driving_may_be_a_motion_s_name_and_numbers_may_move_the_face(tmp_path: Path) -> None:
    values = {
        **ONE,
        "driving": "nod",
        "yaw": 12,
        "smile": "0:0,1:0.5",
        "gaze": "0.5,0",
        "region": "lips,pose",
    }
    (job,) = jobs_of(json.dumps({**values, "loop": 2, "return": True}), tmp_path)
    request = job.request(tmp_path)
    assert (request.driving, request.bundled and request.bundled.name) == (Path("nod"), "nod")
    assert request.controls == Keyframes.of(yaw=12, smile=[(0, 0), (1, 0.5)], gaze_x=0.5, gaze_y=0)
    assert (request.region, request.loop, request.returns, request.gaze) == (
        ("lips", "pose"),
        2,
        True,
        "driving",
    )
    (tmp_path / "nod").touch()
    assert job.request(tmp_path).driving == tmp_path / "nod"
