"""What is installed beside mcnet: how to add to it, and which file hides a library."""

import importlib.metadata
import importlib.util
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from mcnet_cli.errors import SystemFailure, shown

DISTRIBUTION = "mcnet-cli"


def required() -> list[str]:
    """The libraries that mcnet can't do without, by the names of their packages."""
    return [re.split(r"[^\w.-]", wanted, maxsplit=1)[0] for wanted, marker in _requirements() if not marker]


def install_line(extra: str) -> str:
    """The command that installs what mcnet's optional dependencies `extra` (such as `heic`) name.

    It names the packages themselves, because mcnet may have been installed from a folder or an address.
    """
    of_extra = re.compile(rf"extra\s*==\s*['\"]{extra}['\"]")
    names = [wanted for wanted, marker in _requirements() if of_extra.search(marker)]
    return pip_install(names or [f"{DISTRIBUTION}[{extra}]"])


def _requirements() -> list[tuple[str, str]]:
    """Packages with their versions, and the markers that say when they are wanted.

    None where mcnet is run from a folder, without an installation.
    """
    try:
        requirements = importlib.metadata.requires(DISTRIBUTION) or ()
    except importlib.metadata.PackageNotFoundError:
        return []
    pairs = (requirement.partition(";") for requirement in requirements)
    return [(wanted.strip(), marker) for wanted, _, marker in pairs]


def pip_install(requirements: Sequence[str], *options: str) -> str:
    """The command that installs packages into this Python, whether or not it has pip (uv leaves it out)."""
    words = [sys.executable, "-m", "pip", "install"]
    if importlib.util.find_spec("pip") is None:
        words = ["uv", "pip", "install", "--python", sys.executable]
    return shown(shlex.join([*words, *options, *requirements]))


def require_unhidden(module: str, distribution: str) -> None:
    """SystemFailure if something else would be imported instead of the library `module` of `distribution`.

    Usually it is a script of the user's that is named like the library. It isn't run to find that out.
    """
    if importlib.util.find_spec(module) is None:
        raise SystemFailure(f"{distribution} is not installed", hint=pip_install([distribution]))
    if file := hiding_file(module, [distribution]):
        raise hidden(module, file)


def hidden(module: str, file: Path) -> SystemFailure:
    """The failure of a library that `file` hides."""
    folder = file.parent if file.name == "__init__.py" else file
    return SystemFailure(
        f"{shown(file)} hides the library {module}, which mcnet needs",
        hint=f"rename {shown(folder)}, or move it out of PYTHONPATH and of the folder you are in",
    )


def hiding_file(module: str, distributions: Sequence[str]) -> Path | None:
    """The file that is imported as `module` although it belongs to none of the distributions.

    None if there is no such file, or if it isn't known what belongs to them, as with a library that is
    being developed.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.origin:
        return None
    own = [
        Path(str(file.locate()))
        for name in distributions
        for file in _files(name)
        if file.parts[0].partition(".")[0] == module
    ]
    found = Path(spec.origin)
    is_known = any(file.exists() for file in own)
    return None if not is_known or any(_same(found, file) for file in own) else found


def failure_behind(error: BaseException) -> SystemFailure | None:
    """What is wrong with the installation if `error` is that a library lacks something, else None."""
    module = _module_at_fault(error)
    if module is None or module == __package__:  # what mcnet itself lacks is its own fault
        return None
    distributions = importlib.metadata.packages_distributions().get(module, ())
    if not distributions:
        return None
    if file := hiding_file(module, distributions):
        return hidden(module, file)
    if not isinstance(error, ImportError):
        return None
    reason = shown(str(error).partition("\n")[0])
    return SystemFailure(
        f"the library {module} is damaged: {reason}", hint=pip_install(distributions, "--force-reinstall")
    )


def _module_at_fault(error: BaseException) -> str | None:
    """The library that lacks what is imported or used, if `error` says that."""
    if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
        return error.obj.__name__.partition(".")[0]
    return error.name.partition(".")[0] if isinstance(error, ImportError) and error.name else None


def _files(distribution: str) -> Sequence[importlib.metadata.PackagePath]:
    try:
        return importlib.metadata.files(distribution) or ()
    except importlib.metadata.PackageNotFoundError:
        return ()


def _same(one: Path, other: Path) -> bool:
    return one == other or (one.exists() and other.exists() and one.samefile(other))
