"""Downloads, from a hub on this machine through the real huggingface_hub."""

import errno
import hashlib
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from animation_tools import write_tiny
from hub_server import COMMIT, Hub, running_hub

from mcnet_cli.errors import McnetError, SystemFailure, WeightsError
from mcnet_cli.progress import Progress
from mcnet_cli.weights import Cache, Fetch, cached_path, fetch, resolve_weights
from mcnet_cli.weights.hub import NetworkFailure
from mcnet_cli.weights.registry import Entry, HubFile, entry_of
from mcnet_cli.weights.store import fetch_file

ADDRESS, FILE = "hf:someone/faces/net.safetensors", "someone/faces/net.safetensors"
DATA = "someone/faces/data.bin"
TOKEN = "hf_a-secret-token"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The content of a tiny network's weights."""
    return write_tiny(tmp_path_factory.mktemp("network") / "tiny.safetensors").read_bytes()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty hub that huggingface_hub takes for the real one, and asks again without waiting."""
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with running_hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def get(address: str, cache: Cache, **options: object) -> Path:
    entry = entry_of(address)
    assert entry
    return fetch_file(entry, cache, **options)[0]  # type: ignore[arg-type]


def data_entry(**source: object) -> Entry:
    """Something other than a network, so that any content will do."""
    return Entry("data", "metric", HubFile("someone/faces", "data.bin", **source), "MIT", "tests")  # type: ignore[arg-type]


def fetching(cache: Cache) -> "subprocess.Popen[str]":
    """A process that fetches `data_entry`."""
    program = f"""
from pathlib import Path
from mcnet_cli.weights import Cache
from mcnet_cli.weights.store import fetch_file
from mcnet_cli.weights.registry import Entry, HubFile
entry = Entry("data", "metric", HubFile("someone/faces", "data.bin"), "", "")
fetch_file(entry, Cache(Path({str(cache.root)!r})))
"""
    return subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)


# ---------------------------------------------------------------- what arrives


def test_a_file_arrives_whole_is_recorded_and_not_fetched_again(
    hub: Hub, cache: Cache, network: bytes
) -> None:
    hub.add(FILE, network)
    path = get(ADDRESS, cache)
    assert path.read_bytes() == network
    assert path.is_relative_to(cache.hub / "models--someone--faces" / "snapshots" / COMMIT)
    record = cache.record(entry_of(ADDRESS).cache_name)  # type: ignore[union-attr]
    assert record is not None
    assert (record.sha256, record.size) == (hashlib.sha256(network).hexdigest(), len(network))
    assert (record.origin, record.pinned) == (f"hf:someone/faces@{COMMIT}/net.safetensors", False)
    asked = len(hub.requests)
    assert get(ADDRESS, cache) == resolve_weights(ADDRESS, cache=cache) == path
    assert len(hub.requests) == asked


def test_a_revision_and_a_folder_in_the_address_are_asked_for(hub: Hub, cache: Cache, network: bytes) -> None:
    hub.add("someone/faces/deep/net.safetensors", network)
    get("hf:someone/faces@v1.0/deep/net.safetensors", cache)
    assert {path for _, path, _ in hub.requests} == {"/someone/faces/resolve/v1.0/deep/net.safetensors"}


def test_progress_is_reported_in_millions_of_bytes(hub: Hub, cache: Cache) -> None:
    hub.add(DATA, os.urandom(3_500_000))
    seen: list[Progress] = []
    fetch_file(data_entry(), cache, on_progress=seen.append)
    assert seen[-1] == Progress(f"fetching {data_entry().name}", 3, 3, "MB")


def test_a_dropped_connection_is_resumed(
    hub: Hub, cache: Cache, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    content = os.urandom(25 << 20)  # the library writes, and goes on, in pieces of 10 MB
    hub.add(DATA, content, cuts=1)
    with caplog.at_level(logging.INFO, logger="mcnet_cli"):
        path = fetch_file(data_entry(), cache)[0]
    assert path.read_bytes() == content
    assert hub.bodies == [None, f"bytes={10 << 20}-"]
    assert "going on where it was" in caplog.text
    assert capfd.readouterr() == ("", "")


def test_a_connection_that_keeps_breaking_leaves_nothing(hub: Hub, cache: Cache) -> None:
    hub.add(DATA, b"x" * 1000, cuts=100)
    with pytest.raises(NetworkFailure, match="keeps breaking"):
        fetch_file(data_entry(), cache)
    assert not [*cache.root.glob("hub/*/blobs/*"), *cache.root.glob("data/*")]


def test_a_redirect_is_followed_and_the_token_stays_at_home(hub: Hub, cache: Cache, network: bytes) -> None:
    with running_hub() as store:
        store.add(FILE, network)
        hub.add(FILE, network, elsewhere=store.url.replace("127.0.0.1", "localhost"))
        assert get(ADDRESS, cache).read_bytes() == network
        assert f"Bearer {TOKEN}" in hub.tokens
        assert store.tokens
        assert not any(store.tokens)


def test_two_processes_fetch_a_file_once(hub: Hub, cache: Cache) -> None:
    hub.add(DATA, b"x" * 1000)
    hub.before_body = lambda: threading.Event().wait(0.5)  # type: ignore[func-returns-value,return-value]
    both = [fetching(cache) for _ in range(2)]
    assert [process.communicate(timeout=60)[1] for process in both] == ["", ""]
    assert hub.bodies == [None]
    assert cache.names() == ["data"]


# ---------------------------------------------------------------- what must not be used


def test_a_wrong_checksum_removes_the_file_from_use(hub: Hub, cache: Cache) -> None:
    hub.add(DATA, b"altered")
    pinned = data_entry(sha256=hashlib.sha256(b"original").hexdigest())
    with pytest.raises(WeightsError, match="wrong checksum"):
        fetch_file(pinned, cache)
    assert cache.names() == []
    assert not [*cache.root.rglob("data.bin"), *cache.root.glob("hub/*/blobs/*")]
    hub.add(DATA, b"original")
    assert fetch_file(pinned, cache)[0].read_bytes() == b"original"
    assert cache.record("data").pinned  # type: ignore[union-attr]


def test_a_checksum_on_the_command_line_is_checked(hub: Hub, cache: Cache, network: bytes) -> None:
    hub.add(FILE, network)
    with pytest.raises(WeightsError, match="wrong checksum"):
        fetch(ADDRESS, cache, sha256="0" * 64, force=False, on_progress=None)
    right = hashlib.sha256(network).hexdigest().upper()
    assert fetch(ADDRESS, cache, sha256=right, force=False, on_progress=None).weights[0].checksum == "pinned"


def test_a_body_that_is_not_what_the_hub_announced_is_refused_at_first_use(hub: Hub, cache: Cache) -> None:
    hub.add(DATA, b"flipped on the way", announced=hashlib.sha256(b"what was sent").hexdigest())
    with pytest.raises(WeightsError, match="wrong checksum"):
        fetch_file(data_entry(), cache)


def test_what_was_trusted_at_first_use_must_stay_the_same(hub: Hub, cache: Cache, network: bytes) -> None:
    hub.add(FILE, network)
    get(ADDRESS, cache)
    hub.add(FILE, network[:-1] + bytes([network[-1] ^ 1]))
    hub.commit = "f" * 40
    with pytest.raises(WeightsError, match="wrong checksum"):
        get(ADDRESS, cache, force=True)
    assert hub.requests[-1][1] == f"/someone/faces/resolve/{COMMIT}/net.safetensors"


def test_a_damaged_file_is_refused_and_fetched_again(hub: Hub, cache: Cache, network: bytes) -> None:
    hub.add(FILE, network)
    path = get(ADDRESS, cache)
    path.write_bytes(network[:-1] + bytes([network[-1] ^ 1]))
    with pytest.raises(WeightsError, match="damaged") as caught:
        resolve_weights(ADDRESS, cache=cache)
    assert caught.value.hint == f"get it again: mcnet fetch-weights {ADDRESS}"
    assert get(ADDRESS, cache).read_bytes() == network
    assert resolve_weights(ADDRESS, cache=cache)


def test_a_web_page_that_the_hub_serves_as_a_file_is_called_one(hub: Hub, cache: Cache) -> None:
    hub.add(FILE, b"<!doctype html><title>Quota exceeded</title>", announced="an-etag-that-is-no-hash")
    with pytest.raises(WeightsError, match="web page"):
        get(ADDRESS, cache)
    assert cache.names() == []


def test_a_login_page_is_not_taken_for_a_hub(hub: Hub, cache: Cache) -> None:
    hub.add(FILE, b"", page=True)
    with pytest.raises(NetworkFailure, match="is not a hub"):
        get(ADDRESS, cache)


# ---------------------------------------------------------------- refusals, in our words


@pytest.mark.parametrize(
    ("status", "code", "error", "says", "hint"),
    [
        (401, "", WeightsError, "private", "HF_TOKEN"),
        (401, "RepoNotFound", WeightsError, "does not exist or is private", "HF_TOKEN"),
        (403, "GatedRepo", WeightsError, "authors want to be asked", "accept the terms"),
        (403, "", WeightsError, "forbidden", "HF_TOKEN"),
        (404, "RepoNotFound", WeightsError, "does not exist", "check the name"),
        (404, "EntryNotFound", WeightsError, "there is no net.safetensors", "check the file"),
        (404, "RevisionNotFound", WeightsError, "there is no main", "check the revision"),
        (503, "", NetworkFailure, "HTTP 503", "try again later"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_a_refusal_is_explained_without_quoting_the_hub(
    hub: Hub, cache: Cache, status: int, code: str, error: type[McnetError], says: str, hint: str, force: bool
) -> None:
    hub.add(FILE, b"", refuse=(status, code))
    with pytest.raises(error, match=says) as caught:
        get(ADDRESS, cache, force=force)
    said = f"{caught.value}\n{caught.value.hint}"
    assert hint in said
    assert len(said.splitlines()) == 2
    assert TOKEN not in said
    assert not [*cache.root.glob("hub/*/blobs/*")]


def test_a_hub_that_cannot_be_reached_is_announced_and_then_a_network_failure(
    hub: Hub, cache: Cache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://someone:a-password@127.0.0.1:9")
    with (
        caplog.at_level(logging.INFO, logger="mcnet_cli"),
        pytest.raises(NetworkFailure, match="can't be reached") as caught,
    ):
        get(ADDRESS, cache)
    assert "half a minute" in caplog.messages[0]
    assert "a-password" not in caplog.text + str(caught.value)


def test_offline_is_said_at_once(hub: Hub, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(NetworkFailure, match="HF_HUB_OFFLINE"):
        get(ADDRESS, cache)
    assert hub.requests == []


def test_a_full_disk_is_the_systems_failure_and_leaves_no_part(hub: Hub, cache: Cache) -> None:
    hub.add(DATA, b"x" * (1 << 20))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, limits[1]))
    try:
        with pytest.raises(SystemFailure, match="can't write") as caught:
            fetch_file(data_entry(), cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.strerror(errno.EFBIG) in str(caught.value)
    assert "MB are free" in str(caught.value.hint)
    assert not [*cache.root.glob("hub/*/blobs/*")]


# ---------------------------------------------------------------- killed downloads


def test_a_killed_download_starts_again_and_its_orphan_is_swept_after_a_day(hub: Hub, cache: Cache) -> None:
    content = os.urandom(1 << 20)
    hub.add(DATA, content)
    sending, go_on = threading.Event(), threading.Event()
    hub.before_body = lambda: (sending.set(), go_on.wait(60))  # type: ignore[func-returns-value,return-value]
    child = fetching(cache)
    assert sending.wait(60)
    child.kill()
    child.communicate()
    go_on.set()
    (orphan,) = cache.root.glob("hub/*/blobs/*.incomplete")
    hub.before_body = lambda: None
    assert fetch_file(data_entry(), cache)[0].read_bytes() == content
    assert hub.bodies == [None, None]
    assert orphan.exists()  # it may be another process's
    os.utime(orphan, (time.time() - 90_000,) * 2)
    fetch_file(data_entry(), cache, force=True)
    assert not orphan.exists()


# ---------------------------------------------------------------- agreeing


def test_commands_fetch_only_what_was_agreed_to(hub: Hub, cache: Cache, network: bytes) -> None:
    hub.add(FILE, network)
    with pytest.raises(WeightsError, match="not on this machine") as caught:
        resolve_weights(ADDRESS, cache=cache)
    assert caught.value.hint == f"mcnet fetch-weights {ADDRESS}"
    assert hub.requests == []
    asked: list[str] = []

    def agree(entry: Entry) -> bool:
        asked.append(entry.name)
        return True

    assert resolve_weights(ADDRESS, cache=cache, fetch=Fetch(agree)).read_bytes() == network
    assert resolve_weights(ADDRESS, cache=cache, fetch=Fetch(agree)).read_bytes() == network
    assert asked == [ADDRESS]


def test_outside_of_fetch_weights_a_failed_download_is_missing_weights(
    hub: Hub, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match="can't be reached"):
        resolve_weights(ADDRESS, cache=cache, fetch=Fetch(lambda _entry: True))


def test_weights_for_training_are_found_by_name(hub: Hub, cache: Cache, network: bytes) -> None:
    hub.add("timm/vgg19.tv_in1k/model.safetensors", network)
    assert cached_path("vgg19", cache=cache) is None
    fetch("vgg19", cache, sha256=None, force=False, on_progress=None)
    path = cached_path("vgg19", cache=cache)
    assert path is not None
    assert path.read_bytes() == network
    with pytest.raises(WeightsError, match="no network's weights"):
        resolve_weights("vgg19", cache=cache)


def test_a_record_is_small_json_and_holds_no_secret(hub: Hub, cache: Cache, network: bytes) -> None:
    hub.add(FILE, network)
    get(ADDRESS, cache)
    text = next(cache.root.glob("*/record.json")).read_text()
    assert {*json.loads(text)} == {"name", "file", "sha256", "size", "origin", "licence", "pinned"}
    everything = b"".join(path.read_bytes() for path in cache.root.rglob("*") if path.is_file())
    assert TOKEN.encode() not in everything
