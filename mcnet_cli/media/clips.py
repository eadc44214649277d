"""Finding the clips in a folder, and the person that each shows."""

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcnet_cli.errors import InputError, shown

VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi"}
TRAIN, HELD_OUT = ("train", "training"), ("test", "val", "valid", "validation")
SPLITS = {*TRAIN, *HELD_OUT}  # names of folders that part a dataset, and are no people
PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


@dataclass(frozen=True, slots=True)
class ClipPath:
    """A video file, or a folder of pictures.

    name: its path below the folder of clips. identity: the person in it, according to names of files.
    """

    path: Path
    name: str
    identity: str

    def beside(self, suffix: str) -> Path:
        """The file of the same name with `suffix`, e.g. `.landmarks.npz`."""
        stem = self.path.name if self.path.is_dir() else self.path.stem
        return self.path.with_name(stem + suffix)

    def key(self, *about: object) -> str:
        """A name for a cache file about this clip, which changes with the clip's file and with `about`."""
        status = self.path.stat()
        text = "\0".join(map(str, (self.name, status.st_size, status.st_mtime_ns, *about)))
        return f"{self.path.stem[:60]}-{zlib.crc32(text.encode('utf-8', 'surrogateescape')):08x}"


@dataclass(frozen=True, slots=True)
class Split:
    """A dataset's clips to train on, and those held out to measure on, None if there are none.

    why: how its folders were understood, in a sentence; None for a plain folder of clips.
    """

    train: Path
    held_out: Path | None = None
    why: str | None = None


def split_of(folder: Path) -> Split:
    """The parts of a folder that holds train/ and test/ (or val/), as the paper's data does, and no more.

    Any other folder is taken whole; if some of its folders are called like parts, `why` says that they count
    as people.
    """
    if not folder.is_dir():
        return Split(folder)
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    parts = {path.name.lower(): path for path in inside if path.is_dir()}
    train, held_out = (
        [parts[name] for name in names if name in parts and _holds_clips(parts[name])]
        for names in (TRAIN, HELD_OUT)
    )
    named = ", ".join(f"{path.name}/" for path in (*train, *held_out))
    if not named:
        return Split(folder)
    others = [path for path in inside if path not in (*train, *held_out) and _is_or_holds_clips(path)]
    if len(train) == len(held_out) == 1 and not others:
        why = f"it trains on {shown(train[0].name)}/ and measures on {shown(held_out[0].name)}/"
        return Split(train[0], held_out[0], why)
    return Split(
        folder,
        why=f"{shown(named)} count as people like all folders here; for a split, keep train/ and test/ and "
        "nothing else, or give the folder to train on and the other one with --val",
    )


def _holds_clips(folder: Path) -> bool:
    return next(_clips_below(folder), None) is not None


def _is_or_holds_clips(path: Path) -> bool:
    return _holds_clips(path) if path.is_dir() else path.suffix.lower() in VIDEO_SUFFIXES


def find_clips(folder: Path) -> list[ClipPath]:
    """The clips below `folder` in the order of their names: videos, and folders that hold only pictures.

    A clip's identity is the folder that it lies in; for those in `folder` itself the name up to `#`. A folder
    of pictures alone is one clip. Links are followed, hidden names left out. InputError if there is none.
    """
    if not folder.is_dir():
        reason = "is not a folder of clips" if folder.exists() else "doesn't exist"
        raise InputError(f"{shown(folder)} {reason}", hint="give a folder of face videos")
    found: list[ClipPath] = []
    for path in _clips_below(folder):
        name = path.relative_to(folder)
        stem = (path.name if path.is_dir() else path.stem).split("#")[0]
        found.append(ClipPath(path, str(name), stem if path.parent == folder else str(name.parent)))
    if not found and any(path.suffix.lower() in PICTURE_SUFFIXES for path in folder.iterdir()):
        return [ClipPath(folder, folder.name, folder.name)]
    if not found:
        raise InputError(
            f"no clips in {shown(folder)}",
            hint="it should hold face videos (mp4, mov, mkv, webm), or folders of frames",
        )
    return sorted(found, key=lambda clip: clip.name)


def _clips_below(folder: Path) -> Iterator[Path]:
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_refuse):
        here = Path(place)
        status = here.stat()
        if (status.st_dev, status.st_ino) in seen:  # a symbolic link back up
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if not name.startswith(".")]
        suffixes = {name: Path(name).suffix.lower() for name in files if not name.startswith(".")}
        videos = [here / name for name, suffix in suffixes.items() if suffix in VIDEO_SUFFIXES]
        yield from videos
        if here != folder and not folders and not videos and PICTURE_SUFFIXES.intersection(suffixes.values()):
            yield here


def _refuse(error: OSError) -> None:
    raise error
