"""From what was typed to a list of files, in an order that every run and machine agrees on."""

import glob
import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcnet_cli.errors import InputError, UsageError, shown
from mcnet_cli.media.pictures import PICTURE_SUFFIXES, natural_key
from mcnet_cli.preprocessing.metadata import Segment, by_video, read_table
from mcnet_cli.preprocessing.names import safe_name, unique_name
from mcnet_cli.preprocessing.request import PreprocessRequest, is_table

VIDEO_SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts"),
    *(".flv", ".wmv", ".asf", ".ogv", ".3gp", ".y4m", ".apng"),
}
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """One file to be worked on.

    path: as typed. name: unique in the run; it becomes part of the clips' names. segments: what a metadata
    table wants of it; empty for all of it. problem: why it can't be used, if that is known already.
    """

    path: Path
    name: str
    segments: tuple[Segment, ...] = ()
    problem: str | None = None

    @property
    def digest(self) -> str:
        """Sixteen hex digits that change with what is wanted of the file."""
        return hashlib.sha256(repr((self.segments, self.problem)).encode()).hexdigest()[:16]


def find_sources(request: PreprocessRequest) -> list[Source]:
    """All files that a request asks for, none twice. InputError for none, and for a bad table."""
    found: list[tuple[Path, str, tuple[Segment, ...], str | None]] = []
    seen: set[str] = set()
    for typed in _expanded(request.inputs):
        if is_table(typed):
            found += _from_table(request, Path(typed))
            continue
        for path in _files(Path(typed), request.output):
            real = os.path.realpath(path)
            if real not in seen:
                seen.add(real)
                found.append((path, path.stem, (), None))
    if not found:
        named = ", ".join(shown(name) for name in request.inputs[:3])
        raise InputError(f"{named}: no videos and no pictures are in it, so there are no clips to make")
    taken: set[str] = set()
    sources = []
    for path, stem, segments, problem in found:
        name = unique_name(safe_name(stem), taken)
        taken.add(name.casefold())
        sources.append(Source(path, name, segments, problem))
    return sources


def _expanded(typed: tuple[str, ...]) -> Iterator[str]:
    """Patterns become what they match; the name of something that exists is never a pattern."""
    for name in typed:
        if os.path.lexists(name) or not glob.has_magic(name):
            yield name
            continue
        matches = sorted(glob.glob(name, recursive=True), key=lambda m: (natural_key(m), m))
        if not matches:
            raise InputError(f"nothing matches {shown(name)}", hint="check the pattern")
        yield from matches


def _files(path: Path, output: Path) -> Iterator[Path]:
    """A file itself, or the videos and pictures below a folder, but for hidden ones and our own output."""
    if not path.is_dir():
        yield path
        return
    own = os.path.realpath(output)
    if os.path.realpath(path) == own:
        raise UsageError(f"-o {shown(output)} is an input, too", hint="give the clips a folder of their own")
    for here, folders, names in os.walk(path, onerror=_unreadable):  # links to folders are not followed
        folders[:] = sorted(
            (
                name
                for name in folders
                if not name.startswith(".") and os.path.realpath(os.path.join(here, name)) != own
            ),
            key=lambda name: (natural_key(name), name),
        )
        for name in sorted(names, key=lambda name: (natural_key(name), name)):
            if not name.startswith(".") and Path(name).suffix.lower() in VIDEO_SUFFIXES | PICTURE_SUFFIXES:
                yield Path(here) / name


def _unreadable(error: OSError) -> None:
    log.warning("can't look into %s: %s", shown(str(error.filename)), error.strerror)


def _from_table(
    request: PreprocessRequest, table: Path
) -> Iterator[tuple[Path, str, tuple[Segment, ...], str | None]]:
    """The videos of a metadata table, each with all its segments: it will be decoded once."""
    assert request.videos is not None
    files: dict[str, Path] = {}
    for path in _files(request.videos, request.output):
        files.setdefault(path.stem, path)
    for video, rows in by_video(read_table(table)).items():
        path = files.get(video, request.videos / f"{safe_name(video)}.mp4")
        for row in rows:
            if row.problem:
                yield path, video, (), row.problem
        if segments := tuple(row.segment for row in rows if row.segment):
            yield path, video, segments, None
