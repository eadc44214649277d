"""Where the films of a run go, all checked before the work starts."""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcnet_cli.animation.request import AnimationRequest
from mcnet_cli.errors import UsageError, shown
from mcnet_cli.files import check_free, require_folder, system_failure
from mcnet_cli.media import Coding, choose_coding, output_kind
from mcnet_cli.media.output import numbered

NAME_LIMIT = 255  # bytes, what nearly all file systems allow
SUFFIX = ".mp4"


@dataclass(frozen=True, slots=True)
class Output:
    """One film.

    target: a file, a PNG pattern, or `-` for stdout. kind: as `media.output_kind` calls it. coding: how its
    frames are stored.
    """

    target: str
    kind: str
    coding: Coding

    @property
    def may_have_sound(self) -> bool:
        """Whether this kind of file can hold sound."""
        return self.kind == "video"


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where the films of a run go.

    films: one a source. new_folder: the folder that `-o FOLDER/` asks for, which is made if it isn't there;
    None if no folder was asked for by name.
    """

    films: tuple[Output, ...]
    new_folder: Path | None

    @contextlib.contextmanager
    def made_folder(self) -> Iterator[None]:
        """Makes the folder for the films, and removes it if the block fails before anything is in it."""
        folder = self.new_folder
        missing = [] if folder is None else [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            for path in reversed(missing):
                path.mkdir()
            yield
        except BaseException as error:
            for path in missing:
                with contextlib.suppress(OSError):
                    path.rmdir()
            if isinstance(error, OSError) and folder is not None and not folder.exists():
                raise system_failure(error, folder) from error
            raise


def plan_outputs(request: AnimationRequest) -> Outputs:
    """Where the films go. UsageError for a bad, taken or ambiguous name, or one of an input."""
    if not request.sources:
        raise UsageError("a source is needed", hint="mcnet animate SOURCE... DRIVING")
    text = None if request.output is None else os.fspath(request.output)
    if text == "":
        raise UsageError("-o: the output's name is empty")
    new_folder = Path(text) if text is not None and text.endswith((os.sep, "/")) else None
    if text is not None and new_folder is None and (text == "-" or not Path(text).is_dir()):
        if len(request.sources) > 1:
            raise UsageError(
                f"-o {shown(text)}: with several sources the output must be a folder",
                hint="end its name with a slash",
            )
        films: tuple[Output, ...] = (planned(request, text),)
    else:
        folder = Path(text or "")
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"-o {shown(folder)} is a file, not a folder")
        is_still = request.driving is None and request.controls and not request.controls.seconds
        suffix = ".png" if is_still and request.duration_s is None else SUFFIX
        names = [default_name(source, request.performed, suffix) for source in request.sources]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(
                    f"two sources would both become {shown(name)}", hint="rename one of them, or run twice"
                )
        films = tuple(planned(request, str(folder / name)) for name in names)
    outputs = Outputs(films, new_folder)
    _check(request, outputs)
    return outputs


def planned(request: AnimationRequest, target: str) -> Output:
    """The output of that name. UsageError if it can't hold what the request asks for."""
    kind, alpha = output_kind(target), request.background == "transparent"
    output = Output(
        target, kind, choose_coding(target, codec=request.codec, quality=request.quality, alpha=alpha)
    )
    if not output.may_have_sound and (isinstance(request.audio, Path) or request.volume != 1):
        name = "--audio" if isinstance(request.audio, Path) else "--volume"
        raise UsageError(
            f"{name}: {'stdout' if target == '-' else shown(target)} holds no sound",
            hint="take .mp4, .mov, .mkv or .webm",
        )
    return output


def default_name(source: Path, driving: Path, suffix: str = SUFFIX) -> str:
    """`SOURCE--DRIVING.mp4`; over-long names are cut so that the file system takes it."""
    room = NAME_LIMIT - len("--" + suffix)
    stems = [Path(os.path.abspath(path)).stem or "root" for path in (source, driving)]  # noqa: PTH100
    sizes = [len(os.fsencode(stem)) for stem in stems]
    if sum(sizes) > room:
        most = max(room - min(sizes), room // 2)  # the shorter name stays whole if the other fits beside it
        stems = [os.fsencode(stem)[:most].decode("utf-8", "ignore") for stem in stems]
    return "--".join(stems) + suffix


def _check(request: AnimationRequest, outputs: Outputs) -> None:
    inputs = request.inputs
    films = outputs.films
    files = [Path(output.target) for output in films if output.kind not in ("pattern", "stdout")]
    if request.save_motion is not None:
        if request.save_motion.resolve() in [file.resolve() for file in files]:
            raise UsageError(f"--save-motion and -o are the same file, {shown(request.save_motion)}")
        files.append(request.save_motion)
    for file in files:
        check_free(file, overwrite=request.overwrite, inputs=inputs)
        if file.parent != outputs.new_folder:
            require_folder(file)
    if films[0].kind == "pattern":
        _check_pattern(Path(films[0].target), inputs, overwrite=request.overwrite)


def _check_pattern(pattern: Path, inputs: tuple[Path, ...], *, overwrite: bool) -> None:
    """UsageError if a file of the pattern would replace an input, or lie in a folder that is the driving."""
    folder = pattern.parent
    if not folder.is_dir():
        return
    for path in inputs:
        if path.exists() and folder.samefile(path if path.is_dir() else path.parent):
            digits = re.search("[0-9]+", path.name)
            if path.is_dir() or (digits and numbered(pattern.name, int(digits[0])) == path.name):
                raise UsageError(f"the output {shown(pattern)} would replace the input {shown(path)}")
    first = pattern.with_name(numbered(pattern.name, 1))
    if not overwrite and first.exists():
        raise UsageError(
            f"{shown(first)} exists already", hint="choose another -o, or replace it with --overwrite"
        )
