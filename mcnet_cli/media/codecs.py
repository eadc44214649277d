"""Which encoders the ffmpeg at hand has."""

import functools
import re
import subprocess
from pathlib import Path

from mcnet_cli.errors import SystemFailure, shown
from mcnet_cli.media.process import ffmpeg_binary, running


def has_encoder(name: str) -> bool:
    """Whether ffmpeg has the encoder `name`."""
    return name in _encoders(ffmpeg_binary())


def require_encoder(name: str, target: Path) -> None:
    """Raises SystemFailure if `target` needs an encoder that ffmpeg lacks."""
    if not has_encoder(name):
        raise SystemFailure(
            f"can't write {shown(target)}: this ffmpeg has no encoder {name}",
            hint="set MCNET_FFMPEG to another ffmpeg; the one of the imageio-ffmpeg wheel has it",
        )


def ffmpeg_version() -> str:
    """The version of the ffmpeg at hand, such as `5.1.9`."""
    found = re.search(r"version (\S+)", _said(ffmpeg_binary(), "-version"))
    return found[1] if found else "unknown"


def _encoders(binary: str) -> frozenset[str]:
    return frozenset(re.findall(r"^ [VAS][A-Z.]{5} (\S+)", _said(binary, "-encoders"), re.M))


@functools.cache
def _said(binary: str, question: str) -> str:
    with running([binary, "-hide_banner", "-nostdin", question], stdout=subprocess.PIPE) as child:
        assert child.process.stdout
        said = child.process.stdout.read().decode("utf-8", "replace")
        child.finish()
    return said
