"""How long it takes to put a photo's frames together, beside the network. Nothing else should run meanwhile.

    python tests/benchmarks/compositing.py [PHOTO] [--megapixels 2]

CPU milliseconds on one core: once a source (the matte, the layers), and per frame and megapixel of what can
move. A frame is one of a batch, as `mcnet animate` makes them, with what the decoder paints, but without the
decoder's own time; and one alone, as `mcnet live` does. The painters of mouths and eyes count. The median of
the repetitions, and the fastest. Beside it a copy of as many bytes and one call of OpenCV that every frame
needs, to tell how fast this machine is.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from mcnet_cli import Animator, Transfer
from mcnet_cli.animation.renderer import BATCH
from mcnet_cli.animation.retarget import Retargeting
from mcnet_cli.arrays import resized
from mcnet_cli.compositing import photo_layers
from mcnet_cli.media import read_image

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
REPETITIONS = 15
FRAME = 40  # of the driving, the first of the batch


def cpu_ms(work: Callable[[], object], repetitions: int = REPETITIONS) -> tuple[float, float]:
    """Median and least milliseconds of this thread."""
    times = []
    for _ in range(repetitions + 2):  # the first two warm up
        began = time.thread_time()
        work()
        times.append(1000 * (time.thread_time() - began))
    return statistics.median(times[2:]), min(times[2:])


def main() -> None:
    """Prints a line for each stage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photo", nargs="?", type=Path, default=EXAMPLES / "portrait.jpg")
    parser.add_argument("--megapixels", type=float, default=2.0, help="the photo is scaled to so many")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    photo = read_image(options.photo)
    factor = (options.megapixels * 1e6 / (photo.shape[0] * photo.shape[1])) ** 0.5
    photo = resized(photo, round(photo.shape[1] * factor), round(photo.shape[0] * factor))
    animator = Animator.load("lite", device="cpu", precision="fp32", batch_size=BATCH)
    portrait = animator.portrait(photo)
    motion = animator.motion(EXAMPLES / "driving.mp4", max_frames=50)
    face = portrait.faces[0]
    retargeting = Retargeting(motion, Transfer(), face, animator.landmarks, 0)
    pose = retargeting.pose(np.arange(FRAME, FRAME + BATCH))
    matte = cpu_ms(lambda: portrait._person(face, portrait.shown_boxes[0]), 5)
    layers = photo_layers(portrait.photo, portrait.people, animator.size)
    taken_apart = cpu_ms(lambda: photo_layers(portrait.photo, portrait.people, animator.size), 5)
    compositor = animator.renderer.photo_compositor(layers)
    drawing = animator.renderer.draw(face.source, pose.keypoints, pose.gaze)
    network = cpu_ms(lambda: animator.renderer.draw(face.source, pose.keypoints, pose.gaze))
    decoder, painted = cpu_ms(drawing.painted), drawing.painted()
    drawing = replace(drawing, paint=lambda frames, window: painted[frames, :, *window])
    batch = cpu_ms(lambda: [frame() for frame in compositor.frames_soon([drawing])])
    alone = cpu_ms(lambda: compositor.frame([drawing[0]]))
    front = layers.fronts[0]
    moving = len(front.y) * len(front.x) / 1e6
    copy = cpu_ms(portrait.photo.copy)
    columns, rows = (2 * np.arange(len(line), dtype=np.float32) + 0.3 for line in (front.x, front.y))
    places = np.dstack(np.meshgrid(columns, rows))
    remap = cpu_ms(lambda: cv2.remap(front.picture, places, None, cv2.INTER_LINEAR))
    size = f"{portrait.photo.shape[1]} x {portrait.photo.shape[0]}"
    print(f"photo {size}, of which {moving:.2f} megapixels can move; milliseconds, median (least)")
    print(f"matte {matte[0]:.0f} ({matte[1]:.0f}), layers {taken_apart[0]:.0f} ({taken_apart[1]:.0f}), once")
    for name, (median, least) in (
        ("motion, in fp32", network),
        ("decoder, if all is painted", decoder),
    ):
        print(f"{name}: {median / BATCH:.1f} ({least / BATCH:.1f}) a frame of {BATCH}")
    for name, median, least in (
        (f"frame of {BATCH}", batch[0] / BATCH, batch[1] / BATCH),
        ("frame alone", *alone),
    ):
        each = median / moving, least / moving
        print(f"{name}: {median:.1f} ({least:.1f}), {each[0]:.1f} ({each[1]:.1f}) a megapixel")
    print(f"a copy of the photo {copy[0]:.2f} ({copy[1]:.2f})")
    print(f"a linear remap of all that can move {remap[0]:.1f} ({remap[1]:.1f}), for comparison")


if __name__ == "__main__":
    main()
