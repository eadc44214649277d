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


@functools.cache
def _encoders(binary: str) -> frozenset[str]:
    with running([binary, "-hide_banner", "-nostdin", "-encoders"], stdout=subprocess.PIPE) as child:
        assert child.process.stdout
        listed = child.process.stdout.read().decode("utf-8", "replace")
        child.finish()
    return frozenset(re.findall(r"^ [VAS][A-Z.]{5} (\S+)", listed, re.M))
