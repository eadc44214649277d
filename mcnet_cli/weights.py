"""From a name to a weights file."""

from pathlib import Path

from mcnet_cli.assets import asset
from mcnet_cli.errors import WeightsError, shown

DEFAULT = "lite"
EMBEDDED = {"lite": "mcnet-lite.safetensors"}


def resolve_weights(name: str | None = None) -> Path:
    """The file of `name`: a name that ships with the package (default `lite`), or a path.

    WeightsError if there is no such name or file.
    """
    name = name or DEFAULT
    if name in EMBEDDED:
        return asset(EMBEDDED[name])
    path = Path(name)
    if path.exists():
        return path
    raise WeightsError(
        f"no weights called {shown(name)}, and no such file",
        hint=f"there is {', '.join(EMBEDDED)}; or give a file",
    )
