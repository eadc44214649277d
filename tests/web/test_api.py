"""The JSON API of `mcnet web`, by a real server and plain requests."""

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from animation_tools import frames_of, has_sound, write_inputs, write_moving_clip
from places import EXAMPLES
from web_tools import UNCROPPED, Client, running

from mcnet_cli.cli import main
from mcnet_cli.web import Limits

LIMITS = Limits(upload_mb=1, megapixels=1, seconds=2, queue=3, disk_mb=20)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a photo, a clip with sound, and tiny weights."""
    return write_inputs(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps files."""
    return tmp_path_factory.mktemp("stored")


@pytest.fixture(scope="module")
def client(files: Path, stored: Path) -> Iterator[Client]:
    with running(stored, weights=str(files / "tiny.safetensors"), limits=LIMITS) as client:
        yield client


@pytest.fixture(scope="module")
def ids(client: Client, files: Path) -> dict[str, str]:
    """A session with a photo and a clip, as fields of a form."""
    session = client.session()
    photo = client.post("/files", {"session": session, "kind": "source", "file": files / "photo.png"})
    clip = client.post("/files", {"session": session, "kind": "driving", "file": files / "clip.mp4"})
    return {"session": session, "source": photo.json["id"], "driving": clip.json["id"], **UNCROPPED}


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_files_and_options_become_a_film_with_its_sound_and_its_command_line(
    client: Client, files: Path, tmp_path: Path
) -> None:
    form = {"source": files / "photo.png", "driving": files / "clip.mp4", "strength": "0.5", **UNCROPPED}
    started = client.post("/animate", form)
    assert started.status == 202
    assert started.headers["location"] == f"/jobs/{started.json['id']}"
    done = client.ended(started.json["id"])
    assert (done["state"], done["error"], done["place"]) == ("done", None, None)
    assert done["command"] == (
        f"mcnet animate photo.png clip.mp4 --weights {files / 'tiny.safetensors'} --device cpu "
        "--strength 0.5 --source-crop none --driving-crop none"
    )
    assert (done["progress"]["stage"], done["progress"]["done"]) == ("rendering", 6)
    assert (done["film"]["name"], done["film"]["frames"]) == ("photo--clip.mp4", 6)
    film = client.ask("GET", done["film"]["url"])
    assert (film.status, film.headers["content-type"]) == (200, "video/mp4")
    (tmp_path / "film.mp4").write_bytes(film.body)
    assert len(frames_of(tmp_path / "film.mp4")) == 6
    assert has_sound(tmp_path / "film.mp4")
    part = client.ask("GET", done["film"]["url"], headers={"Range": "bytes=0-99"})
    assert (part.status, part.body) == (206, film.body[:100])


def test_the_command_line_makes_the_same_film(
    client: Client, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = {"source": files / "photo.png", "driving": files / "clip.mp4", "reference": "first", **UNCROPPED}
    options = {"speed": "0.5", "background": "moving", "picture": "face", "size": "100", "format": "webm"}
    done = client.ended(client.post("/animate", form | options).json["id"])
    assert done["state"] == "done", done["error"]
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(done["command"])
    assert (program, main(words)) == ("mcnet", 0)
    assert (tmp_path / "photo--clip.webm").read_bytes() == client.ask("GET", done["film"]["url"]).body


def test_a_background_and_a_sound_are_sent_as_files(client: Client, ids: dict[str, str], files: Path) -> None:
    sent = {**ids, "audio": files / "clip.mp4", "max-frames": "2", "no-audio": ""}
    for audio, says, sound in (
        ({}, " --audio clip.mp4", True),
        ({"audio": "", "no-audio": "true"}, " --no-audio", False),
    ):
        done = client.ended(client.post("/animate", {**sent, **audio}).json["id"])
        assert done["state"] == "done", done["error"]
        assert says in done["command"]
        film = client.ask("GET", done["film"]["url"]).body
        assert (b"mp4a" in film) == sound


def test_a_film_that_fills_the_disk_is_ended(
    client: Client, ids: dict[str, str], stored: Path, tmp_path: Path
) -> None:
    form = {**ids, "driving": write_moving_clip(tmp_path / "long.mp4", 40)}
    filler = next(path for path in stored.iterdir() if path.is_dir()) / "filler"
    job = client.post("/animate", form).json["id"]
    filler.write_bytes(bytes(21 << 20))
    failed = client.ended(job)
    filler.unlink()
    assert (failed["state"], failed["error"]["code"]) == ("failed", 5)
    assert failed["error"]["message"] == "the server has no room for more files at the moment"


def test_a_session_keeps_files_for_several_films_until_it_ends(
    client: Client, files: Path, stored: Path
) -> None:
    session, before = client.session(), set(files_in(stored))
    form: dict[str, str | Path] = {"session": session, "kind": "source", "file": files / "photo.png"}
    photo = client.post("/files", form).json
    clip = client.post("/files", form | {"kind": "driving", "file": files / "clip.mp4"}).json
    assert (photo["name"], photo["width"], photo["height"], photo["faces"]) == ("photo.png", 64, 64, [])
    ids = {"session": session, "source": photo["id"], "driving": clip["id"], **UNCROPPED}
    for options in ({"format": "webm", "background": "moving"}, {"format": "gif"}):
        started = client.post("/animate", ids | options).json
        assert client.ended(started["id"])["state"] == "done"
        assert started["command"].endswith(f"--output photo--clip.{options['format']}") or (
            f"--output photo--clip.{options['format']} " in started["command"]
        )
    assert len(set(files_in(stored)) - before) == 4
    assert client.ask("DELETE", f"/sessions/{session}").status == 204
    assert set(files_in(stored)) == before
    gone = client.ask("GET", f"/jobs/{started['id']}")
    assert (gone.status, gone.json["error"]["hint"]) == (404, "load the page again")


def test_a_cancelled_job_stops_and_leaves_no_film(client: Client, files: Path, tmp_path: Path) -> None:
    long = write_moving_clip(tmp_path / "long.mp4", 50)
    form = {"source": files / "photo.png", "driving": long, "size": "1920", **UNCROPPED}
    job = client.post("/animate", form).json
    assert client.ask("DELETE", f"/jobs/{job['id']}").status == 200
    ended = client.ended(job["id"])
    assert (ended["state"], ended["film"], ended["error"]) == ("cancelled", None, None)
    assert client.ask("GET", f"/jobs/{job['id']}/film").status == 404


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"source": ("a.png", b"<html>")}, 422, "a.png is not an image but a web page"),
        ({"source": ("a.png", b"")}, 422, "a.png is empty"),
        ({"driving": ("b.mp4", b"#EXTM3U\nfile:///etc/passwd\n")}, 422, "b.mp4"),
        ({"driving": ("b.motion", b"hello")}, 422, "b.motion"),
        ({"source": ("big.ppm", b"P6 2000 2000 255\n")}, 422, "big.ppm is too large: 2000x2000"),
        ({"source": ""}, 400, "source: a file is needed"),
        ({"source": "/etc/passwd"}, 400, "source: a file is needed"),
        ({"source": "astronaut.jpg"}, 400, "source: a file is needed"),
        ({"loop": "1000"}, 422, "the film would be too long"),
        ({"duration": "3"}, 422, "the film would be too long"),
        ({"speed": "0.05"}, 422, "the film would be too long"),
        ({"yaw": "0:0,9:10"}, 422, "the film would be too long"),
        ({"driving": "/etc/passwd"}, 400, "driving /etc/passwd: is no motion"),
        ({"driving": "https://example.com/a.mp4"}, 400, "is no motion"),
        ({"background": "/etc/passwd"}, 400, "background /etc/passwd: names a file"),
        ({"audio": "/etc/passwd"}, 400, "audio /etc/passwd: names a file"),
        ({"face": "0=/etc/passwd"}, 400, "face 0=/etc/passwd: names a file"),
        ({"face": "0=nod,1=smile"}, 400, "names a file"),
        ({"audio": ("song.mp3", b"ID3")}, 422, "song.mp3"),
        ({"strength": "lots"}, 400, "strength lots"),
        ({"smooth": "-1"}, 400, "--smooth"),
        ({"size": "4000"}, 400, "--size"),
        ({"fps": "240"}, 400, "--fps"),
        ({"format": "exe"}, 400, "format"),
        ({"weights": "/elsewhere/evil.pth"}, 400, "no option weights"),
        ({"output": "/elsewhere/film.mp4"}, 400, "no option output"),
        ({"save-motion": "/elsewhere/a.motion"}, 400, "no option save-motion"),
        ({"crop_json": "/etc/passwd"}, 400, "no option crop_json"),
        ({"device": "cuda:1"}, 400, "no option device"),
        ({"background": "transparent"}, 400, "transparent"),
        ({"session": "0" * 32}, 404, "this session has ended"),
        ({f"f{n}": "x" for n in range(80)}, 400, "Too many fields"),
        ({"strength": "1" * 2000}, 400, "exceeded maximum size"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words_and_leaves_nothing(
    client: Client, ids: dict[str, str], stored: Path, fields: dict[str, object], status: int, says: str
) -> None:
    before = files_in(stored)
    answer = client.post("/animate", {**ids, **fields})  # type: ignore[dict-item]
    assert (answer.status, says in answer.said) == (status, True), answer.body
    assert str(stored) not in answer.body.decode()
    assert files_in(stored) == before


def test_too_long_a_driving_is_refused_before_and_whatever_its_header_says(
    client: Client, files: Path, tmp_path: Path
) -> None:
    long = write_moving_clip(tmp_path / "long.mp4", 60)
    form = {"source": files / "photo.png", "driving": long, **UNCROPPED}
    refused = client.post("/animate", form)
    assert (refused.status, refused.said) == (
        422,
        "the film would be too long: this server takes 2 s, at most 120 frames",
    )
    part = client.post("/animate", form | {"end": "1"}).json
    assert client.ended(part["id"])["film"]["frames"] == 25


def test_an_upload_over_the_limit_is_refused(client: Client, stored: Path) -> None:
    before = files_in(stored)
    answer = client.post("/animate", {"source": ("a.png", bytes(2 << 20))})
    assert (answer.status, answer.said) == (413, "the upload is too large: this server takes 1 MB")
    claimed = client.ask("POST", "/files", b"", {"Content-Length": str(10**12)})
    assert claimed.status == 413
    form = b"--x\r\nContent-Disposition: form-data; name=source; filename=a\r\n\r\n" + bytes(1 << 16)
    in_chunks = b"%x\r\n%s\r\n" % (len(form), form) * 30 + b"0\r\n\r\n"
    headers = {"Transfer-Encoding": "chunked", "Content-Type": "multipart/form-data; boundary=x"}
    assert client.ask("POST", "/animate", in_chunks, headers).status == 413
    assert files_in(stored) == before


def test_a_fault_of_the_work_names_files_as_their_visitor_does(
    client: Client, files: Path, stored: Path
) -> None:
    form = {"source": files / "photo.png", "driving": files / "clip.mp4", "driving-crop": "none"}
    failed = client.ended(client.post("/animate", form).json["id"])
    assert failed["state"] == "failed"
    assert failed["error"]["message"] == "photo.png: no face was found"
    assert (failed["error"]["code"], failed["film"]) == (3, None)


def test_the_options_say_what_the_command_line_says(client: Client) -> None:
    told = client.ask("GET", "/options").json
    options = {option["name"]: option for option in told["options"]}
    assert options["strength"]["help"].startswith("Factor on relative motion")
    assert (options["region"]["kind"], options["region"]["choices"][:2]) == ("several", ["lips", "eyes"])
    assert (options["yaw"]["place"], told["sliders"]["yaw"]) == ("sliders", [-30, 30])
    assert (options["picture"]["kind"], options["picture"]["choices"]) == (
        "choice",
        ["photo", "face", "network"],
    )
    assert (options["no-audio"]["kind"], options["no-audio"]["default"]) == ("flag", "false")
    assert options["audio"]["kind"] == "file"
    assert not {"weights", "device", "output", "save-motion", "crop-json", "fetch"} & options.keys()
    assert told["limits"] == {"upload_mb": 1, "megapixels": 1, "seconds": 2}
    assert len(told["examples"]) == 3


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..\\..\\evil.exe", "C:\\a\\..\\photo.png", "/", "", "....", "a\tb.png"]
)
def test_names_of_uploads_lead_nowhere(client: Client, files: Path, stored: Path, name: str) -> None:
    session = client.session()
    photo = (name, (files / "photo.png").read_bytes())
    added = client.post("/files", {"session": session, "kind": "source", "file": photo}).json
    assert not {"/", "\\", "\t"} & {*added["name"]}
    assert all(stored in path.parents for path in files_in(stored))
    assert {
        path.name for path in (stored).rglob("*") if "passwd" in path.name or "evil" in path.name
    } == set()


def test_what_a_visitor_has_no_other_gets_by_guessing(client: Client, files: Path) -> None:
    mine, theirs = client.session(), client.session()
    photo = client.post("/files", {"session": mine, "kind": "source", "file": files / "photo.png"}).json
    clip = {"driving": files / "clip.mp4", **UNCROPPED}
    stolen = client.post("/animate", {"session": theirs, "source": photo["id"], **clip})
    assert (stolen.status, stolen.said) == (400, "source: a file is needed")
    again = client.post("/files", {"session": theirs, "kind": "source", "file": files / "photo.png"}).json
    assert again["id"] != photo["id"]  # a file's address says nothing of its content
    for guess in ("", "0" * 32, photo["id"][:-1], photo["id"].upper(), photo["name"], "*", "%2e%2e"):
        assert client.ask("GET", f"/files/{guess}/picture").status == 404


@pytest.mark.parametrize(
    "path",
    [
        *("/file=/etc/passwd", "/gradio_api/file=/etc/passwd", "/gradio_api/file=C:/Windows/win.ini"),
        *(
            "/gradio_api/file=//host/share/a",
            "/gradio_api/file=http://127.0.0.1:22/",
            "/proxy=http://127.0.0.1",
        ),
        *("/static/../../../../etc/passwd", "/examples/../index.html", "/examples/..%2f..%2fapi.py"),
        *(
            "/examples/%2e%2e/%2e%2e/api.py",
            "/examples//etc/passwd",
            "/..%2f..%2f..%2fetc/passwd",
            "//etc/passwd",
        ),
        *(
            "/examples/astronaut.jpg%00",
            "/api.py",
            "/../api.py",
            "/config",
            "/queue/join",
            "/gradio_api/upload",
        ),
        *(
            "/motions/..%2fexamples%2fastronaut.jpg",
            "/%5c%5chost%5cshare",
            "/files/..%2f..%2fpage.js/picture",
        ),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_address_leads_to_files_of_the_machine(client: Client, method: str, path: str) -> None:
    answer = client.ask(method, path, b"" if method == "POST" else None)
    assert answer.status in (404, 405)
    assert b"root:" not in answer.body
    assert b"import" not in answer.body


def test_faces_are_found_posed_by_sliders_and_moved_by_motions(tmp_path: Path) -> None:
    with running(tmp_path) as client:  # the default weights, whose keypoints are landmarks
        motions = client.ask("GET", "/motions").json
        for motion in motions:
            assert client.ask("GET", f"/motions/{motion['name']}.webp").body[8:12] == b"WEBP"
        moved = {"source": EXAMPLES / "portrait.jpg", "driving": "blink", "max-frames": "3", "size": "128"}
        film = client.ended(client.post("/animate", moved).json["id"])
        assert (film["state"], film["film"]["name"]) == ("done", "portrait--blink.mp4")
        assert film["command"].startswith("mcnet animate portrait.jpg blink --")
        form: dict[str, str | Path] = {"session": client.session(), "kind": "source"}
        found = client.post("/files", form | {"file": EXAMPLES / "portrait.jpg"}).json
        ((x, y, width, height),) = found["faces"]
        assert found["largest"] == 0
        assert 100 < x < x + width < 400
        assert width == height
        assert 0 <= y < 150
        photo = client.ask("GET", f"/files/{found['id']}/picture")
        posed = client.ask("GET", f"/files/{found['id']}/posed?yaw=20&smile=0.5")
        same = client.ask("GET", f"/files/{found['id']}/posed?yaw=20.0&smile=0.5")
        assert photo.body[:2] == posed.body[:2] == b"\xff\xd8"
        assert posed.body == same.body != photo.body
        assert unquote(posed.headers["mcnet-command"]) == (
            "mcnet animate portrait.jpg --output portrait-posed.png --yaw 20 --smile 0.5"
        )
        for query, status in (
            ("yaw=far", 400),
            ("yaw=900", 400),
            ("face=0=/etc/passwd", 400),
            ("gaze=nan,0", 400),
            ("face=7", 422),
        ):
            assert client.ask("GET", f"/files/{found['id']}/posed?{query}").status == status
