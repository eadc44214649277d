"""Measures weights on face clips of people that training never saw.

    python examples/measure_heldout.py weights/mcnet-lite.safetensors heldout/ --sheet sheet.png

Same person: a clip's first frame is moved by every fifth of its first 150 frames, absolute motion, no crop.
Across people: each clip drives the first frame of the next clip, relative motion.

error, mouth, inner mouth: mean absolute error over that of showing the source unmoved; in the whole picture,
in a box around the mouth, and inside the lips of frames with an open mouth. flow: cosine between the optical
flows from the source to the real and to the made frame. landmarks: distance of the face meshes, % of the eye
distance.
sharpness: mean absolute Laplacian over the real frames'. across mouth, across eyes: correlation over
frames of the driving's and the result's openings. identity: how much less the result's face looks like the
source's, over how much less the driving's does, by a perceptual network (extra `[train]`); 0 is the source,
1 is as unlike as the driving.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mcnet_cli.animation.retarget import relative_motion
from mcnet_cli.checkpoint import build_model, read_weights
from mcnet_cli.compositing import Compositor
from mcnet_cli.face import LIDS, MOUTH, STEADY_LOOKS, FaceMesh, OuterTracker, Region, opening, resample
from mcnet_cli.face.outer import upper_face
from mcnet_cli.face.outer_track import after, similarity
from mcnet_cli.face.sampling import box_transform
from mcnet_cli.media import open_frames
from mcnet_cli.model import Keypoints, MCNet
from mcnet_cli.training.perceptual import PerceptualDistance, load_perceptual

Frames = NDArray[np.uint8]
Points = NDArray[np.float64]
STEP, LAST, BATCH = 5, 150, 6
MOUTH_BOX, MARGIN_PX = (61, 291, 13, 14), 16
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
EYES = (33, 263)
OPEN_MOUTH = 0.12
FACE_PX = 128
FLOW_ROWS, FLOW_COLUMNS, FLOW_PX = slice(24, 110), slice(20, 108), 128


@dataclass(frozen=True)
class Clip:
    """frames: (T, S, S, 3) RGB; points: (T, 468, 2) pixels."""

    name: str
    frames: Frames
    points: Points


def read_clip(path: Path, mesh: FaceMesh, size: int) -> Clip:
    """Every fifth frame of a clip and its landmarks, measured anew."""
    with open_frames(path) as frames:
        kept = [frame for number, frame in zip(range(LAST), frames, strict=False) if number % STEP == 0]
    kept = [cv2.resize(f, (size, size), interpolation=cv2.INTER_AREA) if len(f) != size else f for f in kept]
    first = Region(
        np.array([0.2, 0.2, 0.8, 0.85], np.float32) * size, np.array([[0.4, 0.45], [0.6, 0.45]]) * size
    )
    points, region = [], mesh(kept[0], first).region
    for frame in kept:
        found = mesh(frame, region)
        points.append(found.points)
        region = found.region
    return Clip(path.stem, np.stack(kept), np.stack(points).astype(np.float64))


def tensor(frames: Frames) -> torch.Tensor:
    """(B, 3, S, S) in [0, 1]."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255


def keypoints(model: MCNet, clip: Clip, numbers: tuple[int, ...] | None) -> Keypoints:
    """Of all frames: the landmarks with these numbers, else what the network finds."""
    if numbers is not None:
        track = OuterTracker()
        points = np.stack(
            [track(*seen)[list(numbers)] for seen in zip(clip.frames, clip.points, strict=True)]
        )
        values = points * (2 / (clip.frames.shape[1] - 1)) - 1
        return Keypoints(torch.from_numpy(values).float())
    starts = range(0, len(clip.frames), BATCH)
    parts = [model.detect_keypoints(tensor(clip.frames[i : i + BATCH])) for i in starts]
    jacobians = None if parts[0].jacobians is None else torch.cat([p.jacobians for p in parts])
    return Keypoints(torch.cat([p.values for p in parts]), jacobians)


def rendered(model: MCNet, source: Frames, start: Keypoints, motion: Keypoints) -> Frames:
    """(T, S, S, 3) frames of a (S, S, 3) source whose keypoints are `start`."""
    state, compositor = model.encode_source(tensor(source[None]), start), Compositor(model)
    layers = compositor.layers(state)

    def parts() -> Iterator[Frames]:
        for first in range(0, len(motion), BATCH):
            frames = compositor.frames(state, layers, motion[first : first + BATCH])
            yield frames.mul(255).round().byte().permute(0, 2, 3, 1).numpy()

    return np.concatenate(list(parts()))


def landmarks(mesh: FaceMesh, frames: Frames, near: Points) -> Points:
    """(T, 468, 2) meshes of made frames, looked for where `near` says."""
    found = []
    for frame, points in zip(frames, near, strict=True):
        region = Region(np.concatenate([points.min(0), points.max(0)]).astype(np.float32), points[list(EYES)])
        found.append(mesh(frame, region).points)
    return np.stack(found).astype(np.float64)


def flow(first: Frames, second: Frames) -> Points:
    """Optical flow (Farnebäck) between two frames, around the head."""
    grey = [
        cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (FLOW_PX, FLOW_PX), interpolation=cv2.INTER_AREA)
        for f in (first, second)
    ]
    field = cv2.calcOpticalFlowFarneback(grey[0], grey[1], None, 0.5, 3, 15, 3, 5, 1.2, 0)
    return field[FLOW_ROWS, FLOW_COLUMNS]


def sharpness(frames: Frames) -> float:
    """Mean absolute Laplacian."""
    return float(
        np.mean(
            [np.abs(cv2.Laplacian(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), cv2.CV_32F)).mean() for f in frames]
        )
    )


def same_person(clip: Clip, made: Frames, mesh: FaceMesh) -> dict[str, float]:
    """The figures of one clip's reconstruction from its first frame."""
    real, size = clip.frames.astype(np.float64), clip.frames.shape[1]
    errors = np.abs(made - real).mean(-1)[1:], np.abs(real[0] - real).mean(-1)[1:]
    mouth, inner = np.zeros(2), np.zeros(2)
    openings = opening(clip.points, MOUTH)[1:]
    for row, points in enumerate(clip.points[1:]):
        box = points[list(MOUTH_BOX)]
        margin = MARGIN_PX * size / 256
        (left, top), (right, bottom) = np.clip(
            np.rint([box.min(0) - margin, box.max(0) + margin]).astype(int), 0, size
        )
        mouth += [error[row, top:bottom, left:right].sum() for error in errors]
        if openings[row] > OPEN_MOUTH:
            mask = np.zeros((size, size), np.uint8)
            cv2.fillPoly(mask, [np.rint(points[list(INNER_LIPS)]).astype(np.int32)], 1)
            inner += [error[row][mask > 0].sum() for error in errors]
    flows = [
        (flow(clip.frames[0], truth).ravel(), flow(clip.frames[0], frame).ravel())
        for truth, frame in zip(clip.frames[1:], made[1:], strict=True)
    ]
    found = landmarks(mesh, made, clip.points)
    eye_distance = np.linalg.norm(clip.points[:, EYES[0]] - clip.points[:, EYES[1]], axis=-1)
    return {
        "error": errors[0].sum() / errors[1].sum(),
        "mouth": mouth[0] / mouth[1],
        "inner_mouth": inner[0] / inner[1] if inner[1] else float("nan"),
        "flow": float(np.mean([a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-9) for a, b in flows])),
        "landmarks": float(
            100 * (np.linalg.norm(found - clip.points, axis=-1).mean(1) / eye_distance).mean()
        ),
        "sharpness": sharpness(made[1:]) / sharpness(clip.frames[1:]),
    }


def faces(frames: Frames, points: Points, like: Clip) -> torch.Tensor:
    """(T, 3, FACE_PX, FACE_PX) the faces of frames with meshes (T, 468, 2), laid on the first of `like`."""
    upright, cut = like.points[0], []
    low, extent = upright.min(0), np.ptp(upright, axis=0)
    box = box_transform(*low, *extent, (FACE_PX, FACE_PX))
    for frame, found in zip(frames, points, strict=True):
        onto = similarity(found[upper_face()], upright[upper_face()])
        cut.append(resample(frame, after(box, onto), (FACE_PX, FACE_PX)))
    return tensor(np.stack(cut))


def across_people(
    driving: Clip, source: Clip, made: Frames, mesh: FaceMesh, looks: PerceptualDistance | None
) -> dict[str, float]:
    """How well the openings of mouth and eyes follow those of another person, and who is seen."""
    near = np.repeat(source.points[:1], len(made), axis=0) + (driving.points - driving.points[:1])
    return likeness(driving, source, Clip("result", made, landmarks(mesh, made, near)), looks)


def likeness(driving: Clip, source: Clip, result: Clip, looks: PerceptualDistance | None) -> dict[str, float]:
    """The figures of a result whose frames are the driving's."""
    figures = {
        name: float(np.corrcoef(opening(driving.points, which), opening(result.points, which))[0, 1])
        for name, which in {"across_mouth": MOUTH, "across_eyes": LIDS}.items()
    }
    if looks is not None:
        own = faces(source.frames[:1], source.points[:1], source).expand(len(result.frames), -1, -1, -1)
        seen = [faces(clip.frames, clip.points, source) for clip in (result, driving)]
        with torch.inference_mode():
            unlike, most = looks(seen, own)
        figures["identity"] = float(unlike / most)
    return figures


def main() -> None:
    """Prints a table, and JSON with --json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("weights", type=Path)
    parser.add_argument("clips", type=Path, help="folder of square face clips")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet: source, driving, result")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--network-keypoints",
        action="store_true",
        help="take the network's own keypoints, even where `mcnet animate` takes landmarks for them",
    )
    options = parser.parse_args()
    weights = read_weights(options.weights)
    mesh, model, looks = FaceMesh(STEADY_LOOKS), build_model(weights), load_perceptual()
    numbers = None if options.network_keypoints else weights.landmarks
    clips = [read_clip(path, mesh, model.config.size) for path in sorted(options.clips.glob("*.mp4"))]
    rows, sheets = {}, []
    with torch.inference_mode():
        motions = [keypoints(model, clip, numbers) for clip in clips]
        for clip, motion, other, theirs in zip(
            clips, motions, clips[1:] + clips[:1], motions[1:] + motions[:1], strict=True
        ):
            made = rendered(model, clip.frames[0], motion[0], motion)
            relative = relative_motion(motion, motion[0], theirs[0], 1.0, weights.landmarks)
            moved = rendered(model, other.frames[0], theirs[0], relative)
            rows[clip.name] = same_person(clip, made, mesh) | across_people(clip, other, moved, mesh, looks)
            shown = np.linspace(1, len(made) - 1, 5).round().astype(int)
            for first, frames in ((clip, clip.frames), (clip, made), (other, moved)):
                sheets.append(np.hstack([first.frames[0], *(frames[i] for i in shown)]))
    mean = {
        name: float(np.nanmean([row[name] for row in rows.values()])) for name in next(iter(rows.values()))
    }
    rows["mean"] = mean
    if options.sheet:
        cv2.imwrite(str(options.sheet), cv2.cvtColor(np.vstack(sheets), cv2.COLOR_RGB2BGR))
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'clip':28}" + "".join(f"{name:>13}" for name in mean))
    for name, row in rows.items():
        print(f"{name[:27]:28}" + "".join(f"{value:13.3f}" for value in row.values()))


if __name__ == "__main__":
    main()
