"""The jobs of a batch, read from JSON lines, from CSV or from two patterns, each checked before any work.

A job is a source, a driving, an output and options by the long names that `mcnet animate` has for them.
"""

import contextlib
import csv
import glob
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from mcnet_cli.animation import AnimationRequest
from mcnet_cli.animation.command_line import OPTIONS, option_name, parse_options
from mcnet_cli.animation.paths import default_name
from mcnet_cli.errors import InputError, McnetError, UsageError, shown
from mcnet_cli.files import require_regular_file, unique_name
from mcnet_cli.media.pictures import natural_key
from mcnet_cli.motion.bundled import bundled_motion

STDIN = "-"
FILES = ("source", "driving", "output")
MAX_LINE = 1 << 16  # characters

Options = Mapping[str, Any]  # fields of AnimationRequest; jobs with equal options share one


@dataclass(frozen=True, slots=True)
class Job:
    """One film that is to be made.

    place: where the job was asked for, as messages say it, such as `jobs.jsonl, line 3`. source, driving: as
    typed; `driving` is a list of names where faces have drivings of their own, which are among the options.
    output: as typed or, where none was given, below the batch's folder.
    """

    place: str
    source: str
    driving: str
    output: str
    options: Options

    def request(self, folder: Path, *, overwrite: bool = False) -> AnimationRequest:
        """What `animate` makes the film by; UsageError for options that make no sense.

        folder: that relative paths start from.
        """
        values: dict[str, Any] = {
            name: folder / value if isinstance(value, Path) else value for name, value in self.options.items()
        }
        apart = tuple((face, _driving(folder, name)) for face, name in values.pop("face_drivings", ()))
        return AnimationRequest(
            sources=(folder / self.source,),
            driving=None if apart else _driving(folder, Path(self.driving)),
            face_drivings=apart,
            output=str(folder / self.output),
            overwrite=overwrite,
            **values,
        )


def _driving(folder: Path, name: Path) -> Path:
    """A driving's file; or the name of a bundled motion, if no file has it."""
    path = folder / name
    return name if bundled_motion(name) is not None and not path.exists() else path


def at(place: str, error: McnetError) -> McnetError:
    """The error with a place before its message."""
    return type(error)(f"{place}: {error}", hint=error.hint)


def read_jobs(name: str, defaults: Mapping[str, str], folder: str | None) -> Iterator[Job]:
    """The jobs of a file, or of stdin for `-`; JSON lines if the first character is `{`, else CSV.

    defaults: texts of options for jobs that don't give them. folder: for the films of jobs without an output.
    InputError if the file can't be read; UsageError names the first line that makes no sense.
    """
    place, shared = "stdin" if name == STDIN else shown(name), dict[str, Options]()
    with _opened(name) as file:
        try:
            for number, values in _lines(file, place):
                where = f"{place}, line {number}"
                try:
                    yield _job(where, values, defaults, folder, shared)
                except McnetError as error:
                    raise at(where, error) from error
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{place} is no file of jobs in UTF-8") from error


@contextlib.contextmanager
def _opened(name: str) -> Iterator[TextIO]:
    if name != STDIN:
        require_regular_file(Path(name))
        with open(name, encoding="utf-8-sig", newline="") as file:
            yield file
        return
    if sys.stdin.isatty():
        raise UsageError("- reads the jobs from stdin, which is a terminal", hint="pipe them in")
    yield sys.stdin


def paired_jobs(
    sources: str, drivings: str, defaults: Mapping[str, str], folder: str | None
) -> Iterator[Job]:
    """A job for each pair of the files that two patterns match, into `folder`/SOURCE--DRIVING.mp4.

    Names that would be equal are told apart by a number. UsageError without a folder, InputError if a pattern
    matches nothing.
    """
    if folder is None:
        raise UsageError("--product: needs -o, a folder for the films")
    asked = job_options(defaults)
    found = [_matches(sources), _matches(drivings) if bundled_motion(drivings) is None else [drivings]]
    taken: set[str] = set()
    for driving in found[1]:
        for source in found[0]:
            name = Path(unique_name(Path(default_name(Path(source), Path(driving))).stem, taken) + ".mp4")
            yield Job(
                f"{shown(source)} by {shown(driving)}", source, driving, os.path.join(folder, name), asked
            )


def _matches(pattern: str) -> list[str]:
    """The file of that name, or else those that a pattern matches."""
    if os.path.lexists(pattern):
        return [pattern]
    found = sorted(glob.glob(pattern, recursive=True), key=natural_key)
    if not found:
        raise InputError(f"--product: nothing matches {shown(pattern)}", hint="check the pattern")
    return found


def _lines(file: TextIO, place: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The numbers and the values of all lines that aren't empty."""
    lines = _bounded(file, place)
    first = next(((number, line) for number, line in lines if line.strip()), None)
    if first is None:
        raise InputError(f"{place}: there are no jobs in it")
    if first[1].lstrip().startswith("{"):
        yield first[0], _object(first, place)
        for number, line in lines:
            if line.strip():
                yield number, _object((number, line), place)
        return
    table = csv.DictReader(
        (line for _, line in lines), [name.strip() for name in next(csv.reader([first[1]]))]
    )
    for row in table:
        number = first[0] + table.line_num
        if None in row:
            raise UsageError(f"{place}, line {number}: has more cells than the first line has names")
        yield number, {name: cell for name, cell in row.items() if cell}


def _bounded(file: TextIO, place: str) -> Iterator[tuple[int, str]]:
    number = 0
    while line := file.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE:
            raise UsageError(f"{place}, line {number}: is longer than {MAX_LINE} characters")
        yield number, line


def _object(numbered: tuple[int, str], place: str) -> dict[str, Any]:
    number, line = numbered
    try:
        values = json.loads(line)
        if not isinstance(values, dict):
            raise ValueError
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{place}, line {number}: is no JSON object",
            hint='a line is like {"source": "a.jpg", "driving": "b.mp4", "output": "c.mp4"}',
        ) from error
    return {name: value for name, value in values.items() if value is not None}


def _job(
    place: str,
    values: dict[str, Any],
    defaults: Mapping[str, str],
    folder: str | None,
    shared: dict[str, Options],
) -> Job:
    files = {name: values.pop(name) for name in FILES if name in values}
    key = json.dumps(values, sort_keys=True)
    if key not in shared:
        shared[key] = {**job_options(defaults), **job_options(values)}
    apart = [driving for _, driving in shared[key].get("face_drivings", ())]
    if apart and "driving" in files:
        raise UsageError("--face N=DRIVING takes the place of the driving", hint="leave that out")
    for name in FILES[:2]:
        if name not in files and not (name == "driving" and apart):
            raise UsageError(f"{name} is missing", hint="a job has a source and a driving")
    for name, value in files.items():
        if not isinstance(value, str) or not value or "\0" in value:
            raise UsageError(f"{name} must be the name of a file")
    output = files.get("output", os.path.join(folder or "", ""))
    if not output or output.endswith((os.sep, "/")) or Path(output).is_dir():
        driving = Path("+".join(each.stem for each in apart) if apart else files["driving"])
        output = os.path.join(output, default_name(Path(files["source"]), driving))
    driven_by = files.get("driving", ", ".join(map(str, apart)))
    return Job(place, files["source"], driven_by, output, shared[key])


def job_options(values: Mapping[str, Any]) -> Options:
    """Options of a job as `parse_options` returns them."""
    for name in values:
        if option_name(name) not in OPTIONS:
            raise UsageError(
                f"a job has no option {shown(name)}", hint=f"there are {', '.join((*FILES, *OPTIONS))}"
            )
    return parse_options(values)
