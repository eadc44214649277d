"""Files of visitors: who has left leaves none behind, nor does a server that has ended or was killed."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mcnet_cli.errors import SystemFailure, UsageError
from mcnet_cli.system import private_temporary_folder
from mcnet_cli.web.errors import TooMuch, Unknown
from mcnet_cli.web.settings import MB, Limits
from mcnet_cli.web.storage import opened_storage, shown_name

HOLDS = """
import sys, time
from pathlib import Path
from mcnet_cli.web.settings import Limits
from mcnet_cli.web.storage import opened_storage
with opened_storage(Limits(), Path(sys.argv[1])) as storage:
    storage.new_visitor().new_path(".png").write_bytes(b"a photo")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_all_files_go_with_the_server(tmp_path: Path) -> None:
    with opened_storage(Limits(), tmp_path) as storage:
        visitor = storage.new_visitor()
        visitor.new_path(".png").write_bytes(b"a photo")
        assert storage.root.parent == tmp_path
        if os.name != "nt":
            assert (
                stat.S_IMODE(storage.root.stat().st_mode)
                == stat.S_IMODE(visitor.folder.stat().st_mode)
                == 0o700
            )
    assert [*tmp_path.iterdir()] == []


def test_what_a_killed_server_has_left_goes_when_the_next_one_starts_and_no_other_files_do(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    killed, lives = (subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2))
    try:
        for process in (killed, lives):
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        before = [*tmp_path.rglob("*.png")]
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        with opened_storage(Limits(), tmp_path):
            (left,) = tmp_path.rglob("*.png")
        assert left in before
        assert len(before) == 2
    finally:
        for process in (killed, lives):
            process.kill()
            process.communicate()


def test_a_visitor_who_has_left_is_forgotten_unless_a_job_of_theirs_runs(tmp_path: Path) -> None:
    with opened_storage(Limits(keep_minutes=10), tmp_path) as storage:
        here, busy, left = (storage.new_visitor() for _ in range(3))
        for visitor in (busy, left):
            visitor.used = time.monotonic() - 11 * 60
        storage.remove_idle(frozenset({busy.id}))
        assert storage.visitor(here.id) is here
        assert busy.used > time.monotonic() - 60
        assert not left.folder.exists()
        with pytest.raises(Unknown, match="this session has ended"):
            storage.visitor(left.id)


def test_sessions_without_files_make_room_for_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcnet_cli.web.storage.MAX_VISITORS", 3)
    with opened_storage(Limits(), tmp_path) as storage:
        has_file, first, second = (storage.new_visitor() for _ in range(3))
        has_file.add(has_file.new_path(""), "photo.png")
        third = storage.new_visitor()
        with pytest.raises(Unknown):
            storage.visitor(first.id)
        for visitor in (second, third):
            visitor.add(visitor.new_path(""), "photo.png")
        with pytest.raises(TooMuch, match="too many visitors"):
            storage.new_visitor()


def test_room_for_files_is_bounded_for_all_visitors_together(tmp_path: Path) -> None:
    with opened_storage(Limits(upload_mb=1, disk_mb=2), tmp_path) as storage:
        storage.new_visitor().new_path("").write_bytes(bytes(MB))
        storage.require_room(MB // 2)
        with pytest.raises(TooMuch, match="no room"):
            storage.require_room(MB + 1)


def test_names_are_random(tmp_path: Path) -> None:
    with opened_storage(Limits(), tmp_path) as storage:
        one, other = storage.new_visitor(), storage.new_visitor()
        uploads = [visitor.add(visitor.new_path(""), "photo.png") for visitor in (one, one, other)]
        names = {
            one.id,
            other.id,
            *(upload.id for upload in uploads),
            *(upload.path.name for upload in uploads),
        }
        assert len(names) == 8
        assert all(len(name) == 32 for name in names)
        assert storage.upload(uploads[2].id) == (other, uploads[2])


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("photo.png", "photo.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\my photo.jpg", "my photo.jpg"),
        ("a\n\x1b[31mb.png", "a__[31mb.png"),
        ("été.png", "été.png"),
        (".png", "otherwise"),
        ("..", "otherwise"),
        ("", "otherwise"),
        (None, "otherwise"),
        ("x" * 300 + ".jpeg", "x" * 100 + ".jpeg"),
    ],
)
def test_names_that_visitors_give_are_shown_as_names(typed: str | None, shown: str) -> None:
    assert shown_name(typed, "otherwise") == shown


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="temporary folders are shared by users on Unix alone")
def test_a_folder_that_another_could_read_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = private_temporary_folder("mcnet-web")
    assert private_temporary_folder("mcnet-web") == folder
    folder.chmod(0o755)
    with pytest.raises(SystemFailure, match="not a private folder"):
        private_temporary_folder("mcnet-web")
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(SystemFailure, match="not a private folder"):
        private_temporary_folder("mcnet-web")


@pytest.mark.parametrize("option", ["upload_mb", "megapixels", "seconds", "queue", "keep_minutes", "disk_mb"])
def test_limits_that_make_no_sense_are_refused(option: str) -> None:
    with pytest.raises(UsageError, match="--"):
        Limits(**{option: 0})
