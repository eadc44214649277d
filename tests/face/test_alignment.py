import http.server
import math
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from face_tools import mesh, portrait, portrait_face

from mcnet_cli.errors import WeightsError
from mcnet_cli.face import BatchDetector, face_alignment, faces_in, make_detector

FILES = ("2DFAN4-11f355bf06.pth.tar", "s3fd-619a316812.pth")


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of torch hub's."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that a local web server offers in the place of the authors' one."""
    folder = tmp_path / "www"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        monkeypatch.setattr(face_alignment, "ORIGIN", f"http://127.0.0.1:{web.server_port}/")
        yield folder
        web.shutdown()


def test_without_its_files_and_offline_the_message_says_what_to_put_where(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_alignment, "ORIGIN", "http://127.0.0.1:9/")
    with pytest.raises(WeightsError) as caught:
        make_detector("face-alignment")
    assert caught.value.exit_code == 4
    for name in FILES:
        assert name in str(caught.value)
    assert str(checkpoints) in str(caught.value.hint)
    assert "\n" not in f"{caught.value}{caught.value.hint}"


def test_a_server_that_never_answers_is_given_up_soon(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_alignment, "PATIENCE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(face_alignment, "ORIGIN", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        start_s = time.monotonic()
        with pytest.raises(WeightsError, match="can't be fetched"):
            make_detector("face-alignment")
        assert time.monotonic() - start_s < 5


def test_files_are_fetched_and_damaged_ones_are_named(checkpoints: Path, server: Path) -> None:
    for name in FILES:
        (server / name).write_bytes(b"<html>not weights</html>")
    with pytest.raises(WeightsError, match="can't use its weights") as caught:
        make_detector("face-alignment")
    assert FILES[0] in str(caught.value.hint)
    assert {path.name for path in checkpoints.iterdir()} == set(FILES), "whole files, and nothing else"


def test_a_file_that_the_server_lacks_leaves_nothing_half_done(checkpoints: Path, server: Path) -> None:
    (server / FILES[1]).write_bytes(b"something")
    with pytest.raises(WeightsError, match="can't be fetched"):
        make_detector("face-alignment")
    left = [path.name for path in checkpoints.iterdir()]
    assert all(name in FILES for name in left)


@pytest.mark.slow
def test_the_librarys_boxes_become_faces_that_the_mesh_confirms(checkpoints: Path) -> None:
    # Untrained networks with the library's shapes: one layer says "a face of 128 pixels here".
    from face_alignment.detection.sfd.net_s3fd import s3fd
    from face_alignment.models import FAN

    checkpoints.mkdir(parents=True)
    boxes = {name: torch.zeros_like(value) for name, value in s3fd().state_dict().items()}
    for name in boxes:
        if name.endswith("conf.bias"):
            boxes[name][-1] = 9.0 if name.startswith("conv7_2") else -9.0
        if name == "conv7_2_mbox_loc.bias":
            boxes[name][2:] = math.log(128 / 512) / 0.2
    torch.save(boxes, checkpoints / FILES[1])
    torch.save({k: torch.zeros_like(v) for k, v in FAN(4).state_dict().items()}, checkpoints / FILES[0])
    detector = make_detector("face-alignment")
    assert isinstance(detector, BatchDetector)
    assert detector.name == "face-alignment"
    head = np.ascontiguousarray(portrait()[50:200, 150:300])
    small = cv2.resize(head, (128, 128), interpolation=cv2.INTER_AREA)
    (face,) = faces_in(small, detector, mesh())
    expected = (portrait_face().points - (150, 50)) * 128 / 150
    assert np.linalg.norm(face.points - expected, axis=1).mean() < 2
    assert detector(np.zeros((1, 1, 3), np.uint8)) == []
    batch = detector.detect_batch([small, np.zeros_like(small), small[:, ::-1].copy()])
    assert [len(faces) for faces in batch] == [1, 0, 1], "the mesh sees no face in black"
    assert np.abs(batch[0][0].box - detector(small)[0].box).max() < 0.01
    assert np.abs(batch[2][0].box[[2, 0]] - (128 - batch[0][0].box[[0, 2]])).max() < 8
    assert detector.batch_size == 1, "a CPU gains nothing by batches"
    assert isinstance(detector, face_alignment.FaceAlignmentDetector)
    points = detector.points(small)
    assert points is not None and points.shape == (68, 2)
