"""How weights want faces cropped, for those who don't need the network itself."""

from pathlib import Path

from mcnet_cli.errors import WeightsError, shown
from mcnet_cli.files import require_regular_file


def weights_framing(path: Path) -> dict[str, float] | None:
    """How faces were cropped for training (see `face.crop.Framing`); None if the file doesn't say.

    Of mcnet's own weights the header alone is read, without torch. WeightsError if these are no weights.
    """
    from mcnet_cli._header import FORMAT, framing_in, read_header  # safetensors loads here, not at --help

    require_regular_file(path, error=WeightsError)
    try:
        with path.open("rb") as file:
            is_safetensors = file.read(9)[8:] == b"{"
    except OSError as error:
        raise WeightsError(f"can't read {shown(path)}: {error.strerror}") from error
    if is_safetensors and (metadata := read_header(path).metadata).get("mcnet.format") == FORMAT:
        try:
            return framing_in(metadata)
        except ValueError as error:
            raise WeightsError(f"{shown(path)}: bad metadata: mcnet.framing makes no sense") from error
    from mcnet_cli.checkpoint import read_weights  # whatever else it is, and whatever is wrong with it

    return read_weights(path).framing
