"""`mcnet motions`: the motions that `mcnet animate` knows by name."""

from mcnet_cli.cli._console import console
from mcnet_cli.cli._options import Json, Quiet, Verbose


def motions(json: Json = False, quiet: Quiet = False, verbose: Verbose = False) -> None:
    """List the motions that need no video.

    Example: mcnet animate portrait.jpg smile
    """
    from mcnet_cli.motion import bundled_motions

    known = bundled_motions()
    lines = [f"{motion.name:12} {motion.seconds:4.1f} s  {motion.shows}" for motion in known]
    lines.append("Each can be repeated without a seam: mcnet animate portrait.jpg idle --duration 30")
    console.result({"motions": [motion.as_json() for motion in known]}, "\n".join(lines))
