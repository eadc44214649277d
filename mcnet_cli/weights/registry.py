"""The weights that have names (`registry.toml`), and the addresses of files on the hub."""

import functools
import hashlib
import re
import tomllib
from dataclasses import dataclass
from typing import Any, Literal

from mcnet_cli.errors import WeightsError, shown
from mcnet_cli.files import asset

Kind = Literal["model", "perceptual", "detector", "metric"]

CACHE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
HUB_PREFIX = "hf:"
_PART = r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,95}"
_ADDRESS = re.compile(rf"hf:({_PART}/{_PART})(?:@({_PART}))?/({_PART}(?:/{_PART}){{0,9}})")


@dataclass(frozen=True, slots=True)
class Embedded:
    """A file that ships with mcnet, by its name among the assets."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a model repository (`OWNER/REPO`) on the Hugging Face hub.

    sha256: None if it isn't known beforehand; then the first download is trusted, and its sha256 recorded.
    """

    repository: str
    file: str
    revision: str = "main"
    sha256: str | None = None

    @classmethod
    def parse(cls, address: str) -> "HubFile":
        """From `hf:OWNER/REPO[@REV]/FILE`; WeightsError for anything else."""
        match = _ADDRESS.fullmatch(address)
        if not match or ".." in address or "--" in match[1]:
            raise WeightsError(
                f"{shown(address)} is not a hub address", hint="it must be hf:OWNER/REPO[@REV]/FILE"
            )
        return cls(match[1], match[3], match[2] or "main")

    @property
    def address(self) -> str:
        """The address that `parse` takes."""
        revision = "" if self.revision == "main" else f"@{self.revision}"
        return f"{HUB_PREFIX}{self.repository}{revision}/{self.file}"


@dataclass(frozen=True, slots=True)
class TorchHubFile:
    """A file that people put into torch hub's folder, where the library that uses it looks for it.

    url: its last part is the file's name in that folder, and holds the first digits of its sha256.
    """

    url: str

    @property
    def file(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]

    @property
    def sha256_prefix(self) -> str:
        """The digits with which its sha256 must begin."""
        return self.file.partition(".")[0].rpartition("-")[2]


@dataclass(frozen=True, slots=True)
class Manual:
    """A checkpoint that people download themselves and let mcnet convert.

    why: the reason why mcnet can't download it. url: a page of its authors that says where it is.
    """

    why: str
    url: str


_SOURCES = {"embedded": Embedded, "hub": HubFile, "torch_hub": TorchHubFile, "manual": Manual}


@dataclass(frozen=True, slots=True)
class Entry:
    """Weights that mcnet can find.

    licence, purpose: in words. size_mb: about, in millions of bytes; None if unknown before the download.
    """

    name: str
    kind: Kind
    source: Embedded | HubFile | TorchHubFile | Manual
    licence: str
    purpose: str
    size_mb: int | None = None

    @property
    def cache_name(self) -> str:
        """The name of its folder in the cache: its own, or for a hub address one made from it."""
        if not self.name.startswith(HUB_PREFIX):
            return self.name
        readable = re.sub(r"[^A-Za-z0-9._-]", "--", self.name)[:80]
        return f"{readable}-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"

    @property
    def size(self) -> str:
        """For people."""
        return "?" if self.size_mb is None else f"{self.size_mb} MB"


@functools.cache
def registry() -> dict[str, Entry]:
    """The entries of the shipped `registry.toml`, by name."""
    with asset("registry.toml").open("rb") as file:
        return {name: _entry(name, fields) for name, fields in tomllib.load(file).items()}


def _entry(name: str, fields: dict[str, Any]) -> Entry:
    (key,) = _SOURCES.keys() & fields
    return Entry(name=name, source=_SOURCES[key](**fields.pop(key)), **fields)


def entry_of(name: str) -> Entry | None:
    """The entry of a registered name or a hub address; None for any other name.

    Raises WeightsError for a malformed address.
    """
    if name.startswith(HUB_PREFIX):
        return Entry(name, "model", HubFile.parse(name), "as its page on the hub says", "your own")
    return registry().get(name)


def own(name: str) -> Entry:
    """The entry of weights that people have converted themselves."""
    return Entry(name, "model", Manual("", ""), "", "your own")
