"""What no media file and no name may do: open other files, reach the network, hang, or see our secrets."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from media_tools import read, tone, write_clip
from places import ROOT, TESTS

from mcnet_cli.errors import InputError, SystemFailure
from mcnet_cli.media import ffmpeg_binary, open_frames, read_image
from mcnet_cli.media.ffmpeg import compiled, open_input
from mcnet_cli.media.process import Log, child_environment, running

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\n{}\n#EXT-X-ENDLIST\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>'
    '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL>'
    "</Representation></AdaptationSet></Period></MPD>"
)
SDP = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video {} RTP/AVP 96\na=rtpmap:96 H264/90000\n"
)


class Canary:
    """Listens on a port of its own and remembers whether anybody came."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.visits: list[bytes] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.visits.append(b"came")
            connection.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    listener = Canary()
    yield listener
    listener.socket.close()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("local.m3u8", HLS.format("secret/film.ts")),
        ("absolute.m3u8", HLS.format("file://{folder}/secret/film.mp4")),
        ("hls.mp4", HLS.format("http://127.0.0.1:{port}/hls.ts")),
        (
            "leak.avi",
            HLS.format("concat:http://127.0.0.1:{port}/?|subfile,,start,0,end,9,,:{folder}/secret/t"),
        ),
        ("concat.mp4", "ffconcat version 1.0\nfile secret/film.mp4\n"),
        ("sibling.ffconcat", "ffconcat version 1.0\nfile film.mp4\n"),
        ("web.mp4", "ffconcat version 1.0\nfile http://127.0.0.1:{port}/film.mp4\n"),
        ("dash.mp4", DASH.format("http://127.0.0.1:{port}/film.mp4")),
        ("stream.sdp", SDP.format("{port}")),
    ],
)
def test_playlists_are_refused_and_open_nothing(tmp_path: Path, canary: Canary, name: str, text: str) -> None:
    (tmp_path / "secret").mkdir()
    clip = write_clip(tmp_path / "secret" / "film.mp4", 5)
    (tmp_path / "film.mp4").write_bytes(clip.read_bytes())
    text = text.replace("{folder}", str(tmp_path)).replace("{port}", str(canary.port))
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=r"playlist|not a video") as refused:
        read(tmp_path / name)
    assert name in str(refused.value)
    assert not canary.visits


def test_addresses_are_not_files(tmp_path: Path, canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "film.mp4", 5)
    monkeypatch.chdir(tmp_path)
    for address in (
        f"http://127.0.0.1:{canary.port}/film.mp4",
        f"tcp://127.0.0.1:{canary.port}",
        "file:film.mp4",
        "concat:film.mp4",
        "subfile,,start,0,end,0,,:film.mp4",
        "crypto:film.mp4",
        "pipe:0",
        "lavfi:testsrc",
        "data:image/png;base64,AAAA",
    ):
        for use in (open_frames, read_image):
            with pytest.raises(InputError, match="not a local file"):
                use(Path(address))  # type: ignore[operator]
    assert not canary.visits


@pytest.mark.parametrize(
    "name",
    [
        "-dash.mp4",
        "take%03d.mp4",
        "a;b$(c)`d`'e\".mp4",
        "new\nline.mp4",
        "concat:colon.mp4",
        "http:x.mp4",
        "Zoë 顔 🙂.mp4",
        "glob*[ab]?.mp4",
        "[red]x[slash].mp4",
        os.fsdecode(b"latin-\xe9.mp4"),
        "x" * 251 + ".mp4",
    ],
)
def test_any_name_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write_clip(tmp_path / "plain.mp4", 5, sound=tone(0.2)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    source, frames = read(Path(name))
    assert len(frames) == 5
    assert source.audio == Path(name)


def test_pipes_devices_loops_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.mp4")
    (tmp_path / "endless.mp4").symlink_to("/dev/zero")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "dangling.mp4").symlink_to("nothing")
    (tmp_path / "folder.mp4").mkdir()
    for name in ("fifo.mp4", "endless.mp4", "loop.mp4", "dangling.mp4", "folder.mp4", "missing.mp4"):
        with pytest.raises(InputError, match=name):
            open_frames(tmp_path / name)


def test_a_child_does_not_see_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "MY_PASSWORD", "FFREPORT"):
        monkeypatch.setenv(name, "s3cret")
    assert "s3cret" not in child_environment().values()
    assert child_environment()["PATH"] == os.environ["PATH"]


def test_every_run_of_ffmpeg_reads_one_local_file_and_no_stdin(tmp_path: Path) -> None:
    words = compiled(open_input(tmp_path / "-a%d.mp4").output("pipe:", format="null"))
    before_input = words[: words.index("-i")]
    assert words[words.index("-i") + 1] == f"file:{tmp_path}/-a%d.mp4"
    assert before_input[before_input.index("-protocol_whitelist") + 1] == "file,pipe"
    formats = before_input[before_input.index("-format_whitelist") + 1].split(",")
    assert {"mov", "matroska"} <= set(formats)
    assert not {"hls", "concat", "dash", "sdp", "rtsp", "lavfi", "image2"} & set(formats)
    assert "-nostdin" in words


def test_a_missing_or_broken_ffmpeg_is_a_failure_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "film.mp4", 3)
    for binary in (tmp_path / "none", clip):
        monkeypatch.setenv("MCNET_FFMPEG", str(binary))
        assert ffmpeg_binary() == str(binary)
        with pytest.raises(SystemFailure, match="can't run ffmpeg"):
            read(clip)


def test_a_child_that_says_a_lot_does_not_block() -> None:
    # a megabyte of messages while nobody reads them: with a plain pipe this would never end
    shout = "import sys; sys.stderr.write('[x @ 0x1] [error] loud\\n' * 50000); print('done')"
    with running([sys.executable, "-c", shout], stdout=subprocess.PIPE) as child:
        buffer = bytearray(5)
        assert child.read_exactly(memoryview(buffer)) == 5
        assert child.finish() == 0
    assert buffer == b"done\n"
    assert child.log.error_count == 50000
    assert len(child.log.errors) <= 30


def test_a_title_inside_a_file_cannot_pose_as_an_error(tmp_path: Path) -> None:
    log = Log()
    log.add("[info]     title           : [error] fake")
    log.add("[h264 @ 0x55d8] [error] real")
    assert log.errors == ["real"]


def test_an_exception_kills_the_child() -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(KeyboardInterrupt), running(sleeper) as child:
        raise KeyboardInterrupt
    assert child.process.returncode == -signal.SIGKILL


WRITER = """
import signal
from media_tools import *
target = Path(sys.argv[1])
def stop(number, frame): raise SystemExit(128 + number)
signal.signal(signal.SIGTERM, stop)
with open_output(target, size=(128, 128), frame_rate=Fraction(25)) as sink:
    for frame in numbered_frames(1, 128, 128) * 100000:
        sink.write(frame)
        if sink.frames_written == 100: print("going", flush=True)
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, None), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_signals_leave_no_child_and_no_film(tmp_path: Path, number: signal.Signals, code: int | None) -> None:
    paths = [str(TESTS), str(ROOT)]
    mark = f"MEDIA_TEST={tmp_path}"
    writer = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{WRITER}", str(tmp_path / "film.mp4")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MEDIA_TEST": str(tmp_path)},
    )
    assert writer.stdout
    assert writer.stdout.readline() == b"going\n"
    writer.send_signal(number)
    status = writer.wait(10)
    writer.stdout.close()
    assert status != 0
    assert code is None or status == code
    until = time.monotonic() + 5
    while living(mark) and time.monotonic() < until:
        time.sleep(0.05)
    assert not living(mark)
    left = os.listdir(tmp_path)
    if number == signal.SIGKILL:
        assert [name for name in left if ".part" not in name] == []
        assert len(left) <= 1
    else:
        assert left == []


def living(mark: str) -> list[str]:
    """The processes whose environment holds `mark`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append(process.name)
        except OSError:
            continue
    return found
