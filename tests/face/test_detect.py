from typing import Any

import cv2
import numpy as np
import pytest
from face_tools import detector, mesh, portrait, portrait_face, scene, turned

from mcnet_cli.errors import UsageError
from mcnet_cli.face import Face, FaceMesh, choose_face, faces_in, make_detector
from mcnet_cli.face.detect import checked


def middle(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:]) / 2


def test_the_portraits_one_face_is_found_where_it_is() -> None:
    (face,) = detector()(portrait())
    assert face.score > 0.9
    np.testing.assert_allclose(face.box, (178, 68, 272, 176), atol=6)
    assert (face.eyes[0] < face.eyes[1])[0], "the picture's left eye comes first"
    np.testing.assert_allclose(face.eyes.mean(0), (225, 102), atol=5)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 20000), (20000, 1), (1, 70000), (3, 700)])
def test_pictures_of_odd_shapes_have_no_face_and_do_no_harm(shape: tuple[int, int]) -> None:
    assert detector()(np.full((*shape, 3), 128, np.uint8)) == []


def test_a_huge_picture_is_searched_in_its_own_pixels() -> None:
    huge = np.zeros((9000, 9000, 3), np.uint8)
    huge[2000:8000, 3000:9000] = cv2.resize(portrait(), (6000, 6000))
    (face,) = detector()(huge)
    scale = 6000 / 512
    np.testing.assert_allclose(
        face.box, np.array((178, 68, 272, 176)) * scale + (3000, 2000) * 2, atol=8 * scale
    )


def test_a_face_that_fills_the_picture_is_found() -> None:
    left, top, right, bottom = portrait_face().region.box.astype(int)
    for margin in (-8, 0, 30):
        tight = portrait()[top - margin : bottom + margin, left - margin : right + margin]
        (face,) = detector()(cv2.resize(tight, (256, 256)))
        assert face.score > 0.5


@pytest.mark.parametrize("degrees", [-60, -35, 35, 60])
def test_a_tilted_face_is_found(degrees: float) -> None:
    (face,) = detector()(turned(portrait(), degrees))
    np.testing.assert_allclose(middle(face.box), (225, 122), atol=12)


@pytest.mark.parametrize("side", [100, 300, 600])
def test_small_and_large_faces_of_a_wide_scene_are_found(side: int) -> None:
    (face,) = detector()(scene(1920, 1080, [(1100, 350, side)]))
    np.testing.assert_allclose(middle(face.box), (1100 + side / 2, 350 + side / 2), atol=0.12 * side)


def test_small_faces_cost_nothing_where_they_are_not_asked_for() -> None:
    assert detector()(scene(1920, 1080, [(1100, 350, 100)]), thorough=False) == []


def test_faces_are_sorted_by_size_by_the_detector_and_by_place_by_faces_in() -> None:
    picture = scene(900, 500, [(620, 120, 220), (40, 100, 300), (400, 200, 180)])
    sides = [face.box[2] - face.box[0] for face in detector()(picture)]
    assert len(sides) == 3
    assert sides == sorted(sides, reverse=True)
    faces = faces_in(picture, detector(), mesh())
    places = [face.points[:, 0].mean() for face in faces]
    np.testing.assert_allclose(places, (190, 490, 730), atol=30)
    assert choose_face(faces, "largest") is faces[0]
    assert choose_face(faces, 2) is faces[2]


def test_faceless_pictures_have_no_faces() -> None:
    rng = np.random.default_rng(1)
    pictures = [scene(640, 480, [])[::-1], rng.integers(0, 255, (300, 400, 3), np.uint8)]
    pictures.append(np.full((256, 256, 3), 255, np.uint8))
    pictures.append(
        np.kron(np.indices((8, 8)).sum(0) % 2 * 255, np.ones((40, 40))).astype(np.uint8)[..., None]
    )
    for picture in pictures:
        assert detector()(np.broadcast_to(picture, (*picture.shape[:2], 3)).copy()) == []


def test_a_doubtful_face_gives_way_to_one_that_stands_on_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    plant = Face(
        np.array([300, 300, 400, 400], np.float32), 0.85, np.array([(330, 330), (370, 330)], np.float32)
    )
    looks = detector()._full

    def sees_plants(rgb: np.ndarray, view: np.ndarray, **options: Any) -> list[Face]:
        return looks(rgb, view, **options) if options else [plant]

    def takes_plants_for_faces(rgb: np.ndarray, candidates: list[Face], mesh: FaceMesh) -> list[Face]:
        return candidates if any(each is plant for each in candidates) else checked(rgb, candidates, mesh)

    monkeypatch.setattr("mcnet_cli.face.detect.checked", takes_plants_for_faces)
    monkeypatch.setattr(detector(), "_full", sees_plants)
    (found,) = detector()(portrait()[::-1, ::-1].copy())
    assert found.score > 0.999
    assert found.eyes[0, 0] > found.eyes[1, 0], "the face's right eye is on the picture's right"
    assert detector()(scene(480, 320, [])) == [plant]


def test_an_unknown_detector_is_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="haar") as caught:
        make_detector("haar")
    assert "blazeface, face-alignment" in str(caught.value.hint)
