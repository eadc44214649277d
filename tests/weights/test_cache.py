"""The registry, the cache and the way from a name to a file; nothing here needs a network."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

import mcnet_cli.files
from mcnet_cli.errors import SystemFailure, WeightsError
from mcnet_cli.files import asset
from mcnet_cli.weights import Cache, cached_path, registry, resolve_file, resolve_weights, survey
from mcnet_cli.weights.manage import as_table
from mcnet_cli.weights.registry import CACHE_NAME, Embedded, Entry, HubFile, TorchHubFile, entry_of
from mcnet_cli.weights.resolve import torch_hub_folder
from mcnet_cli.weights.store import Record, default_root


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def kept(cache: Cache, name: str, content: bytes = b"content", file: str | None = None) -> Path:
    """Something in the cache, as a download or a conversion would leave it."""
    with cache.locked(name) as folder:
        path = folder / "net.bin"
        path.write_bytes(content)
        where = file or path.relative_to(cache.root).as_posix()
        digest = hashlib.sha256(content).hexdigest()
        cache.keep(name, Record(name, where, digest, len(content), "net.pth.tar", "none", False))
    return path


# ---------------------------------------------------------------- the registry


def test_the_shipped_table_names_what_mcnet_uses() -> None:
    kinds = {name: entry.kind for name, entry in registry().items()}
    assert kinds == {
        "lite": "model",
        "mcnet-official": "model",
        "vgg19": "perceptual",
        "s3fd": "detector",
        "2dfan4": "detector",
        "alexnet": "metric",
    }
    assert registry()["vgg19"].source == HubFile("timm/vgg19.tv_in1k", "model.safetensors")
    for entry in registry().values():
        assert entry.licence
        assert entry.purpose
        assert entry.size_mb


def test_files_of_torch_hub_are_known_by_the_hash_in_their_name() -> None:
    from mcnet_cli.face import face_alignment

    sources = [e.source for e in registry().values() if isinstance(e.source, TorchHubFile)]
    assert {s.file: s.sha256_prefix for s in sources} == {
        "s3fd-619a316812.pth": "619a316812",
        "2DFAN4-11f355bf06.pth.tar": "11f355bf06",
        "alexnet-owt-7be5be79.pth": "7be5be79",
    }
    urls = {source.url for source in sources}
    assert {
        face_alignment.ORIGIN + file for file in (face_alignment.DETECTION, face_alignment.ALIGNMENT)
    } < urls


def test_the_embedded_default_is_what_the_table_pins() -> None:
    source = registry()["lite"].source
    assert isinstance(source, Embedded)
    found = hashlib.sha256(asset(source.file).read_bytes()).hexdigest()
    assert source.sha256 == found, "pin it: lite.embedded.sha256"


@pytest.mark.parametrize(
    ("address", "repository", "revision", "file"),
    [
        ("hf:someone/faces/net.safetensors", "someone/faces", "main", "net.safetensors"),
        ("hf:someone/faces@v1.0/deep/er/net.pth.tar", "someone/faces", "v1.0", "deep/er/net.pth.tar"),
        ("hf:timm/vgg19.tv_in1k@0123/m.bin", "timm/vgg19.tv_in1k", "0123", "m.bin"),
    ],
)
def test_an_address_has_its_parts(address: str, repository: str, revision: str, file: str) -> None:
    source = HubFile.parse(address)
    assert (source.repository, source.revision, source.file) == (repository, revision, file)
    assert source.address == address


@pytest.mark.parametrize(
    "address",
    [
        "hf:", "hf:a", "hf:a/b", "hf:a/b/", "hf:../../etc/passwd", "hf:a/b/../../../etc/passwd",
        "hf:a/b@../c/d", "hf:a--b/c/d", "hf:/a/b/c", "hf:a/b@/c", "hf:a/b/c?d", "hf:a/b/c\n", "hf:a/.b/c",
        "hf:a/b/" + "c/" * 50,
    ],
)  # fmt: skip
def test_an_address_that_climbs_or_misses_parts_is_refused(address: str, cache: Cache) -> None:
    with pytest.raises(WeightsError, match="not a hub address"):
        resolve_weights(address, cache=cache)


def test_addresses_have_folders_of_their_own_however_odd() -> None:
    names = ["hf:a/b/c/d", "hf:a/b@c/d", "hf:a/b/c_d", "hf:a/b/c+d", "hf:" + "a" * 90 + "/b/" + "c" * 90]
    entries = [entry for name in names if (entry := entry_of(name))]
    assert len({entry.cache_name for entry in entries}) == len(names)
    for entry in entries:
        assert CACHE_NAME.fullmatch(entry.cache_name)


# ---------------------------------------------------------------- the cache


def test_the_cache_is_where_the_platform_keeps_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MCNET_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/somebody"))
    for platform, place in [
        ("linux", "/home/somebody/.cache/mcnet"),
        ("darwin", "/home/somebody/Library/Caches/mcnet"),
        ("win32", "/home/somebody/AppData/Local/mcnet"),
    ]:
        monkeypatch.setattr(sys, "platform", platform)
        assert default_root() == Path(place)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert default_root() == Path("/elsewhere/mcnet")
    monkeypatch.setenv("MCNET_CACHE", str(tmp_path))
    assert Cache().root == tmp_path


def test_without_a_home_the_message_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("MCNET_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(SystemFailure) as caught:
        default_root()
    assert "MCNET_CACHE" in str(caught.value.hint)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", ".hidden", "a\0b", "a\n", "x" * 101, "hub", "é", "a b", "C:x"]
)
def test_names_cannot_leave_the_cache(cache: Cache, name: str) -> None:
    with pytest.raises(WeightsError, match="can't be a name"):
        cache.folder(name)


def test_links_are_not_followed_out_of_the_cache(cache: Cache, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "net.bin").write_bytes(b"content")
    cache.root.mkdir()
    (cache.root / "mine").symlink_to(outside)
    (cache.root / "hub").symlink_to(outside)
    with pytest.raises(WeightsError, match="leads out of the cache"), cache.locked("mine"):
        pytest.fail("entered")
    with pytest.raises(WeightsError, match="leads out of the cache"):
        _ = cache.hub
    kept(cache, "other").unlink()
    (cache.root / "other" / "net.bin").symlink_to(outside / "net.bin")
    with pytest.raises(WeightsError, match="leads out of the cache"):
        resolve_weights("other", cache=cache)
    assert [path.name for path in outside.iterdir()] == ["net.bin"]


@pytest.mark.parametrize("file", ["../outside.bin", "/etc/hostname", "other/../../outside.bin"])
def test_a_record_cannot_name_a_file_elsewhere(cache: Cache, tmp_path: Path, file: str) -> None:
    (tmp_path / "outside.bin").write_bytes(b"content")
    kept(cache, "mine", file=file)
    with pytest.raises(WeightsError, match="leads out of the cache"):
        resolve_weights("mine", cache=cache)
    cache.remove("mine")
    assert (tmp_path / "outside.bin").read_bytes() == b"content"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "null", '{"name": 1}', "[" * 100_000, '{"file": "x"}', " " * 70_000]
)
def test_a_damaged_record_is_said_to_be_one(cache: Cache, text: str) -> None:
    kept(cache, "mine")
    (cache.root / "mine" / "record.json").write_text(text)
    with pytest.raises(WeightsError, match=r"record\.json is damaged"):
        resolve_weights("mine", cache=cache)
    states = {status.name: status.state for status in survey(cache)}
    assert states["mine"] == "damaged"
    cache.remove("mine")
    assert cache.names() == []


def test_a_file_stays_while_its_record_is_damaged(cache: Cache) -> None:
    path = cache.root / "mine" / "mine-01234567.safetensors"
    kept(cache, "mine", file=path.relative_to(cache.root).as_posix())
    path.write_bytes(b"content")
    (path.parent / "record.json").write_text("{")
    with cache.locked("mine"):
        pass
    assert path.exists()
    cache.remove("mine")
    assert not path.exists()


def test_each_use_hashes_the_file_again(cache: Cache) -> None:
    path = kept(cache, "mine", b"content")
    assert resolve_weights("mine", cache=cache) == path
    path.write_bytes(b"contemt")
    with pytest.raises(WeightsError, match="damaged: its sha256"):
        resolve_weights("mine", cache=cache)
    path.write_bytes(b"content longer")
    with pytest.raises(WeightsError, match="14 bytes, not 7"):
        resolve_weights("mine", cache=cache)


def test_a_failure_leaves_nothing_and_those_who_wait_go_on(cache: Cache) -> None:
    entered, went_on = threading.Event(), threading.Event()

    def wait_for_it() -> None:
        entered.wait(10)
        kept(cache, "mine")
        went_on.set()

    waiting = threading.Thread(target=wait_for_it)
    waiting.start()
    with pytest.raises(OSError, match="no luck"), cache.locked("mine") as folder:
        entered.set()
        (folder / "mine-01234567.safetensors").write_bytes(b"x")
        assert not went_on.wait(0.3)
        raise OSError("no luck")
    waiting.join(10)
    assert went_on.is_set()
    assert {path.name for path in (cache.root / "mine").iterdir()} <= {"net.bin", "record.json", ".lock"}


def test_only_its_own_files_are_ever_removed(cache: Cache) -> None:
    (cache.root / "Documents").mkdir(parents=True)
    letter = cache.root / "Documents" / "letter.txt"
    letter.write_text("keep me")
    with pytest.raises(OSError, match="no luck"), cache.locked("Documents") as folder:
        (folder / ".Documents-01234567.safetensors.89abcdef.part.safetensors").write_bytes(b"x")
        raise OSError("no luck")
    kept(cache, "Documents")
    cache.remove("Documents")
    assert [path.name for path in letter.parent.iterdir()] == ["letter.txt"]


def test_removing_keeps_a_file_that_another_name_has(cache: Cache) -> None:
    path = kept(cache, "mine")
    kept(cache, "same", file="mine/net.bin")
    cache.remove("same")
    assert path.exists()
    cache.remove("mine")
    assert not (cache.root / "mine").exists()


# ---------------------------------------------------------------- names


def test_names_go_before_files_and_files_are_found(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").write_bytes(b"a file")
    Path("net.safetensors").write_bytes(b"a file")
    path = kept(cache, "mine")
    assert resolve_weights("mine", cache=cache) == path
    assert resolve_weights("./mine", cache=cache) == Path("./mine")
    assert resolve_weights("net.safetensors", cache=cache) == Path("net.safetensors")
    monkeypatch.setenv("MCNET_WEIGHTS", "net.safetensors")
    assert resolve_weights(cache=cache) == Path("net.safetensors")


def test_the_default_ships_with_the_package(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MCNET_WEIGHTS", raising=False)
    table = registry()  # read it before its folder goes
    assert table
    shipped = asset("mcnet-lite.safetensors")
    monkeypatch.setattr(mcnet_cli.files, "PACKAGE", tmp_path / "mcnet_cli")
    with pytest.raises(WeightsError, match=r"mcnet-lite\.safetensors is missing"):
        resolve_weights(cache=cache)
    (tmp_path / "weights").mkdir()
    shutil.copy(shipped, tmp_path / "weights")
    assert resolve_weights(cache=cache) == tmp_path / "weights" / "mcnet-lite.safetensors"


@pytest.mark.parametrize(
    ("name", "says", "hint"),
    [
        ("no-such-name", "not a known name", "lite, mcnet-official"),
        ("gone.safetensors", "no such file", "or give a file"),
        ("vgg19", "no network's weights", "lite"),
        ("mcnet-official", "can't download it", "https://github.com/harlanhong/ICCV2023-MCNET"),
        ("hf:someone/faces/net.pth", "not on this machine", "mcnet fetch-weights hf:someone/faces/net.pth"),
    ],
)
def test_missing_weights_come_with_what_to_do(cache: Cache, name: str, says: str, hint: str) -> None:
    with pytest.raises(WeightsError, match=says) as caught:
        resolve_weights(name, cache=cache)
    assert hint in str(caught.value.hint)
    assert not cache.root.exists()


def test_other_kinds_are_none_or_named_with_the_command(cache: Cache) -> None:
    assert cached_path("vgg19", cache=cache) is None
    with pytest.raises(WeightsError) as caught:
        resolve_file("vgg19", cache=cache)
    assert caught.value.hint == "mcnet fetch-weights vgg19"


def test_torch_hubs_folder_is_torchs_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variables in (
        {},
        {"XDG_CACHE_HOME": "/x"},
        {"TORCH_HOME": "/t"},
        {"TORCH_HOME": "~/t", "XDG_CACHE_HOME": "/x"},
    ):
        for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert torch_hub_folder() == Path(torch.hub.get_dir()) / "checkpoints"


def test_a_file_in_torch_hubs_folder_is_checked_by_its_name(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="alexnet is not on this machine") as caught:
        resolve_file("alexnet", cache=cache)
    assert str(torch_hub_folder()) in str(caught.value.hint)
    torch_hub_folder().mkdir(parents=True)
    (torch_hub_folder() / "alexnet-owt-7be5be79.pth").write_bytes(b"not AlexNet")
    with pytest.raises(WeightsError, match=r"begins with .*, not with 7be5be79"):
        cached_path("alexnet", cache=cache)
    content = b"AlexNet, as far as its hash goes"
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    other = Entry("alexnet", "metric", TorchHubFile(f"https://somewhere/{name}"), "", "")
    monkeypatch.setitem(registry(), "alexnet", other)
    (torch_hub_folder() / name).write_bytes(content)
    assert cached_path("alexnet", cache=cache) == torch_hub_folder() / name


# ---------------------------------------------------------------- the list


def test_the_list_has_all_with_state_size_checksum_and_licence(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    kept(cache, "mine")
    kept(cache, "torn").write_bytes(b"another size")
    rows = {status.name: status for status in survey(cache)}
    assert [*rows] == [*registry(), "mine", "torn"]
    assert (rows["mine"].state, rows["mine"].size, rows["mine"].licence) == ("present", "0.0 MB", "none")
    assert rows["torn"].state == "damaged"
    assert {rows[name].state for name in ("mcnet-official", "vgg19", "s3fd", "alexnet")} == {"absent"}
    assert rows["vgg19"].checksum == "first use is trusted"
    assert rows["mine"].checksum == "recorded at first use"
    table = as_table([*rows.values()])
    for word in ("NAME", "STATE", "LICENCE", "575 MB", "BSD-3-Clause", "619a316812", "12 bytes, not 7"):
        assert word in table
    json.dumps([status.as_json() for status in rows.values()])


def test_verifying_hashes_what_is_here(cache: Cache) -> None:
    kept(cache, "mine")
    kept(cache, "torn", b"content").write_bytes(b"contemt")
    rows = {status.name: status.state for status in survey(cache, verify=True)}
    assert (rows["mine"], rows["torn"], rows["vgg19"]) == ("verified", "damaged", "absent")


def test_finding_weights_needs_no_torch(cache: Cache) -> None:
    program = (
        "import sys; from pathlib import Path; from mcnet_cli.weights import Cache, survey\n"
        "survey(Cache(Path(sys.argv[1])))\n"
        "assert not {'torch', 'numpy', 'cv2', 'huggingface_hub'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", program, str(cache.root)], check=True, env=os.environ, timeout=60)
