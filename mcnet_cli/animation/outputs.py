"""Where results go. Everything is checked before the work starts."""

import os
from dataclasses import dataclass
from pathlib import Path

from mcnet_cli.animation.request import AnimationRequest
from mcnet_cli.errors import UsageError, shown
from mcnet_cli.files import check_free
from mcnet_cli.media import output_kind

NAME_LIMIT = 255  # bytes; what nearly all file systems allow
SUFFIX = ".mp4"


@dataclass(frozen=True, slots=True)
class Output:
    """target: a file, a PNG pattern, or `-`. kind: as `media.output_kind` calls it."""

    target: str
    kind: str

    @property
    def may_have_sound(self) -> bool:
        """Only videos have."""
        return self.kind == "video"


def plan_outputs(request: AnimationRequest) -> tuple[Output, ...]:
    """One output a source. UsageError for a bad, taken or ambiguous name, or one of an input."""
    if not request.sources:
        raise UsageError("a source and a driving are needed", hint="mcnet animate SOURCE... DRIVING")
    text, several = request.output, len(request.sources) > 1
    if text == "":
        raise UsageError("-o: the output's name is empty")
    if text is None:
        folder: Path | None = Path()
    elif text != "-" and (text.endswith((os.sep, "/")) or Path(text).is_dir()):
        folder = Path(text)
    else:
        folder = None
    if folder is None:
        assert text is not None
        if several:
            raise UsageError(
                f"-o {shown(text)}: with several sources the output must be a folder",
                hint="end its name with a slash",
            )
        outputs: tuple[Output, ...] = (Output(text, output_kind(text)),)
    else:
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"-o {shown(folder)} is a file, not a folder")
        names = [default_name(source, request.driving) for source in request.sources]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(
                    f"two sources would both become {shown(name)}", hint="rename one of them, or run twice"
                )
        outputs = tuple(Output(str(folder / name), "video") for name in names)
    _check(request, outputs)
    return outputs


def default_name(source: Path, driving: Path) -> str:
    """`SOURCE--DRIVING.mp4`; over-long names are cut so that the file system takes it."""
    room = NAME_LIMIT - len("--" + SUFFIX)
    stems = [Path(os.path.abspath(path)).stem or "root" for path in (source, driving)]  # noqa: PTH100
    sizes = [len(os.fsencode(stem)) for stem in stems]
    if sum(sizes) > room:
        most = max(room - min(sizes), room // 2)  # the shorter one stays whole if it leaves room
        stems = [os.fsencode(stem)[:most].decode("utf-8", "ignore") for stem in stems]
    return "--".join(stems) + SUFFIX


def _check(request: AnimationRequest, outputs: tuple[Output, ...]) -> None:
    inputs = (*request.sources, request.driving)
    files = [Path(output.target) for output in outputs if output.kind not in ("pattern", "stdout")]
    if request.save_motion is not None:
        if request.save_motion.resolve() in [file.resolve() for file in files]:
            raise UsageError(f"--save-motion and -o are the same file, {shown(request.save_motion)}")
        files.append(request.save_motion)
    for file in files:
        check_free(file, overwrite=request.overwrite, inputs=inputs)
        made = request.output is not None and request.output.endswith("/") and file != request.save_motion
        if not made and not file.parent.is_dir():
            raise UsageError(
                f"can't write {shown(file)}: there is no folder {shown(file.parent)}", hint="make it first"
            )


def make_folder(request: AnimationRequest) -> None:
    """Makes the folder that `-o FOLDER/` asks for."""
    if request.output is not None and request.output.endswith("/"):
        Path(request.output).mkdir(parents=True, exist_ok=True)
