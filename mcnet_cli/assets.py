"""Files that ship with the package: default weights and face models."""

from pathlib import Path

from mcnet_cli.errors import WeightsError

PACKAGE = Path(__file__).resolve().parent


def asset(name: str) -> Path:
    """The shipped file `name` (such as "face/face_mesh.tflite").

    An installed wheel carries the folder as `mcnet_cli/assets`, a source checkout as `weights`.
    Raises WeightsError if neither has the file.
    """
    for folder in (PACKAGE / "assets", PACKAGE.parent / "weights"):
        path = folder / name
        if path.is_file():
            return path
    raise WeightsError(f"{name} is missing: it ships with mcnet-cli", hint="install mcnet-cli again")
