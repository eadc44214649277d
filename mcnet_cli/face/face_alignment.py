"""Face boxes from the face-alignment library: slow, and with weights that are not shipped.

S3FD (Zhang et al. 2017) finds the boxes, 2DFAN-4 (Bulat and Tzimiropoulos 2017) the eyes; then the face mesh
has the last word, as with the other detector.
"""

import http.client
import logging
import threading
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mcnet_cli.arrays import Picture
from mcnet_cli.errors import WeightsError, shown
from mcnet_cli.face.detect import Face, checked
from mcnet_cli.face.landmarks import FaceMesh, Points
from mcnet_cli.face.sampling import box_transform, resample
from mcnet_cli.files import SYSTEM_ERRNOS, atomic_output
from mcnet_cli.options import DetectorName

ORIGIN = "https://www.adrianbulat.com/downloads/python-fan/"
DETECTION, ALIGNMENT = "s3fd-619a316812.pth", "2DFAN4-11f355bf06.pth.tar"
PATIENCE_S = 5.0
BLOCK = 1 << 20
LONGEST_SIDE_PX, SHORTEST_SIDE_PX = 640, 128
BATCH = 4  # pictures at once on a GPU: few, as several processes may share it
EYE_POINTS = (slice(36, 42), slice(42, 48))  # of 68, the picture's left eye first

log = logging.getLogger(__name__)


class FaceAlignmentDetector:
    """Boxes and eyes by face-alignment, checked by the face mesh."""

    name: DetectorName = "face-alignment"

    def __init__(self, device: str = "cpu") -> None:
        """Loads the weights, fetching them if need be; WeightsError if they can't be had or used.

        device: as torch calls it; the library's networks compute there, the mesh on the CPU.
        """
        weights = _weights()
        import face_alignment

        try:
            # Compiling is that library's default and takes minutes; a given path is read as data alone.
            self._library: Any = face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D,
                device=device,
                flip_input=False,
                compile=False,
                face_detector_kwargs={"path_to_detector": str(weights[DETECTION])},
            )
        except MemoryError:
            raise
        except Exception as error:  # torch has many ways to say that a file is damaged
            folder = shown(weights[DETECTION].parent)
            raise WeightsError(
                f"face-alignment can't use its weights in {folder}",
                hint=f"replace {DETECTION} and {ALIGNMENT} there by whole ones, from {ORIGIN}",
            ) from error
        self._mesh = FaceMesh()

        self.batch_size = 1 if device == "cpu" else BATCH

    def __call__(self, rgb: Picture, *, thorough: bool = True) -> list[Face]:
        """Faces in (H, W, 3) uint8 RGB, the largest first; it is always thorough."""
        return self.detect_batch([rgb])[0]

    def detect_batch(self, pictures: Sequence[Picture]) -> list[list[Face]]:
        """The faces in each picture, all of one size; their boxes are found in one pass."""
        found = []
        for rgb, looks in zip(pictures, self._look(pictures), strict=True):
            candidates = [
                Face(box[:4], float(box[4]), np.stack([points[eye].mean(0) for eye in EYE_POINTS]))
                for box, points in looks
            ]
            found.append(checked(rgb, candidates, self._mesh))
        return found

    def points(self, rgb: Picture) -> Points | None:
        """(68, 2) landmarks in pixels of the largest face, None without a face; the mesh has no say here."""
        found = self._look([rgb])[0]
        return max(found, key=lambda face: (face[0][2:4] - face[0][:2]).prod())[1] if found else None

    def _look(self, pictures: Sequence[Picture]) -> list[list[tuple[Points, Points]]]:
        """Boxes with scores, (5,), and 68 points of all that the library takes for faces, in pixels."""
        import torch

        height, width = pictures[0].shape[:2]
        scale = min(1.0, LONGEST_SIDE_PX / max(height, width))
        size = (
            max(SHORTEST_SIDE_PX, round(width * scale)),
            max(SHORTEST_SIDE_PX, round(height * scale)),
        )
        # The networks halve a picture many times: a narrow one is widened with black.
        extent = size[0] / scale, size[1] / scale
        transform = box_transform(0, 0, *extent, size)
        small = [resample(rgb, transform, size, border="black") for rgb in pictures]
        planes = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)
        boxes = self._library.face_detector.detect_from_batch(planes)
        return [self._placed(*found, scale) for found in zip(small, boxes, strict=True)]

    def _placed(self, small: Picture, boxes: Sequence[Any], scale: float) -> list[tuple[Points, Points]]:
        """Boxes and 68 points of one picture that was shrunk by `scale`, in the pixels it had before."""
        if not len(boxes):
            return []
        meshes = self._library.get_landmarks_from_image(small, detected_faces=[box[:4] for box in boxes])
        to_pixels = np.array([1 / scale] * 4 + [1], np.float32)
        return [
            (np.asarray(box[:5], np.float32) * to_pixels, np.asarray(points, np.float32)[:, :2] / scale)
            for box, points in zip(boxes, meshes or [], strict=True)
        ]


def _weights() -> dict[str, Path]:
    """The two files where face-alignment looks for them, by name; fetched if they aren't there."""
    import torch

    folder = Path(torch.hub.get_dir()) / "checkpoints"
    files = {name: folder / name for name in (DETECTION, ALIGNMENT)}
    missing = [path for path in files.values() if not path.is_file()]
    if missing and not _reachable(ORIGIN + missing[0].name):
        raise _unavailable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        log.warning("fetching %s for --detector face-alignment", path.name)
        _fetch(ORIGIN + path.name, path)
    return files


def _unavailable(folder: Path) -> WeightsError:
    return WeightsError(
        f"--detector face-alignment needs {ALIGNMENT} and {DETECTION}, and they can't be fetched",
        hint=f"put both into {shown(folder)} (from {ORIGIN}), or take --detector blazeface",
    )


def _reachable(url: str) -> bool:
    """Whether the server answers soon. Name look-ups know no time limit, so a thread waits for them."""
    answered = threading.Event()

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PATIENCE_S):
                answered.set()
        except (OSError, ValueError):
            pass
        finally:
            done.set()

    done = threading.Event()
    threading.Thread(target=ask, daemon=True).start()
    done.wait(PATIENCE_S)
    return answered.is_set()


def _fetch(url: str, path: Path) -> None:
    """Downloads a file, which appears under its name when it is whole."""
    with atomic_output(path, overwrite=True) as part, part.open("wb") as file:
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as body:
                for block in iter(lambda: body.read(BLOCK), b""):
                    file.write(block)
                expected = body.headers.get("Content-Length")
        except (OSError, ValueError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in SYSTEM_ERRNOS:
                raise
            raise _unavailable(path.parent) from error
        if expected is not None and file.tell() != int(expected):
            raise _unavailable(path.parent)
