"""Measures what the defaults of `mcnet animate` bring: portraits that other people's motion moves.

    python examples/measure_defaults.py portraits/ drivings/

One row for the defaults, and one for each of them changed; means over all pairs, the first --frames frames of
each driving. mouth, eyes: correlation over frames of the driving's and the result's openings. motion: how far
the upper face moves about its mean place, in eye distances, result over driving. identity: how much less the
result's face looks like the portrait's, over how much less the driving's does, by a perceptual network (extra
`[train]`). jitter: second differences of the mesh over time, result over driving.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measure_heldout import EYES, Clip, Points, likeness

from mcnet_cli.animation import AnimationRequest, animate
from mcnet_cli.checkpoint import Weights, read_weights, write_weights
from mcnet_cli.face import STEADY_LOOKS, FaceMesh, FaceTracker, make_detector
from mcnet_cli.face.outer import upper_face
from mcnet_cli.media import open_frames, read_image
from mcnet_cli.training.perceptual import PerceptualDistance, load_perceptual
from mcnet_cli.weights import resolve_weights

CHANGES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "motion absolute": {"motion": "absolute"},
    "reference first": {"reference": "first"},
    "no adapted scale": {"adapt_scale": False},
    "smooth 0": {"smooth": 0.0},
    "smooth 0.5": {"smooth": 0.5},
    "smooth 0.7": {"smooth": 0.7},
    "smooth 1.5": {"smooth": 1.5},
    "face height 0.46": {"face_height": 0.46},
    "face height 0.60": {"face_height": 0.60},
    "centre y 0.50": {"center_y": 0.50},
    "centre y 0.58": {"center_y": 0.58},
}
FIGURES = ("mouth", "eyes", "motion", "identity", "jitter")


def tracked(name: str, pictures: Iterator[Any]) -> tuple[Clip, Points]:
    """The pictures with a face, and their numbers."""
    tracker, rows = FaceTracker(make_detector("blazeface"), FaceMesh(STEADY_LOOKS)), []
    for number, picture in enumerate(pictures):
        found = tracker(picture)
        if found is not None:
            rows.append((number, picture.copy(), found.points[:468]))
    if not rows:
        raise SystemExit(f"{name}: no face is seen")
    numbers, frames, points = zip(*rows, strict=True)
    return Clip(name, np.stack(frames), np.stack(points).astype(np.float64)), np.array(numbers)


def read(path: Path, frames: int) -> tuple[Clip, Points]:
    """The first frames of a video."""
    with open_frames(path, max_frames=frames) as pictures:
        return tracked(path.stem, iter(pictures))


def chosen(clip: Clip, rows: Points) -> Clip:
    """The clip with some of its frames."""
    return Clip(clip.name, clip.frames[rows], clip.points[rows])


def in_eyes(clip: Clip) -> Points:
    """(T, 468, 2) meshes in eye distances."""
    apart = np.linalg.norm(clip.points[:, EYES[0]] - clip.points[:, EYES[1]], axis=-1).mean()
    return clip.points / apart


def reach(clip: Clip) -> float:
    """How far the upper face moves about its mean place."""
    points = in_eyes(clip)[:, upper_face()]
    return float(np.linalg.norm(points - points.mean(0), axis=-1).mean())


def jitter(clip: Clip) -> float:
    """Second differences over time."""
    points = in_eyes(clip)
    return float(np.linalg.norm(points[2:] - 2 * points[1:-1] + points[:-2], axis=-1).mean())


def compared(portrait: Clip, driving: Clip, result: Clip, looks: PerceptualDistance) -> list[float]:
    """The figures of a pair, whose driving and result have the same frames."""
    alike = likeness(driving, portrait, result, looks)
    moved, shaken = reach(result) / reach(driving), jitter(result) / jitter(driving)
    return [alike["across_mouth"], alike["across_eyes"], moved, alike["identity"], shaken]


def with_framing(weights: Weights, change: dict[str, Any], path: Path) -> Path:
    """A copy of the weights that asks for another framing, if `change` has one."""
    framing = {name: change.get(name, value) for name, value in (weights.framing or {}).items()}
    write_weights(
        path,
        weights.state,
        weights.config,
        framing=framing,
        smooth=weights.smooth,
        card={},
        half=False,
    )
    return path


def results(
    sources: list[Path], driving: Path, weights: Path, frames: int, asked: dict[str, Any]
) -> Iterator[tuple[str, Clip, Points]]:
    """Each portrait's name and the result, as `read` gives it."""
    with tempfile.TemporaryDirectory() as folder:
        request = AnimationRequest(
            sources=tuple(sources),
            driving=driving,
            output=f"{folder}/",
            weights=str(weights),
            max_frames=frames,
            **asked,
        )
        animate(request)
        for result in sorted(Path(folder).iterdir()):
            yield result.stem.removesuffix(f"--{driving.stem}"), *read(result, frames)


def main() -> None:
    """Prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("portraits", type=Path, help="folder of pictures")
    parser.add_argument("drivings", type=Path, help="folder of videos")
    parser.add_argument("--weights", "-w")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--only", action="append", choices=CHANGES, help="may be repeated")
    options = parser.parse_args()
    looks, weights = load_perceptual(), read_weights(resolve_weights(options.weights))
    if weights.framing is None:
        parser.error("these weights don't say how they want faces cropped")
    sources = sorted(options.portraits.iterdir())
    portraits = {path.stem: tracked(path.stem, iter([read_image(path)]))[0] for path in sources}
    drivings = {path: read(path, options.frames) for path in sorted(options.drivings.iterdir())}
    print("| | " + " | ".join(FIGURES) + " |\n|" + "---|" * (1 + len(FIGURES)))
    for name in options.only or CHANGES:
        rows, asked = [], {key: value for key, value in CHANGES[name].items() if key not in weights.framing}
        with tempfile.TemporaryDirectory() as folder:
            file = with_framing(weights, CHANGES[name], Path(folder, "weights.safetensors"))
            for path, (driving, numbers) in drivings.items():
                for portrait, made, places in results(sources, path, file, options.frames, asked):
                    _, ours, theirs = np.intersect1d(places, numbers, return_indices=True)
                    rows.append(
                        compared(portraits[portrait], chosen(driving, theirs), chosen(made, ours), looks)
                    )
        means = [f"{value:.3f}" for value in np.nanmean(rows, axis=0)]
        print(f"| {name} | " + " | ".join(means) + " |", flush=True)


if __name__ == "__main__":
    main()
