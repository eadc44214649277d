"""The face mesh's network against MediaPipe's own run of it.

The goldens are made by running this file as a program, where mediapipe 0.10.14 is installed.
"""

from pathlib import Path

import numpy as np
import pytest
from face_tools import portrait
from places import DATA
from safetensors.numpy import load_file, save_file

from mcnet_cli.face.networks import INPUT_PX, LEFT_EYE, LIPS, RIGHT_EYE, AttentionMesh
from mcnet_cli.face.topology import MESH_POINTS
from mcnet_cli.synthetic import render_clip

GOLDEN = DATA / "attention_mesh.safetensors"
PERSON = 8  # of the drawn ones
NAMES = ("photo", "tilted", "drawn")


def faces() -> dict[str, np.ndarray]:
    """(192, 192, 3) each: the photo, the same head tilted and nearer, a drawing."""
    photo = portrait()[30:222, 130:322]
    down, across = np.indices((INPUT_PX, INPUT_PX)) - INPUT_PX // 2
    tilted = portrait()[124 + (12 * down - 5 * across) // 18, 228 + (12 * across + 5 * down) // 18]
    drawn = render_clip(PERSON, frames=1, size=INPUT_PX).frames[0]
    return {
        name: np.ascontiguousarray(face) for name, face in zip(NAMES, (photo, tilted, drawn), strict=True)
    }


@pytest.fixture(scope="module")
def network() -> AttentionMesh:
    return AttentionMesh()


@pytest.mark.parametrize("name", NAMES)
def test_points_and_irises_are_mediapipes(network: AttentionMesh, name: str) -> None:
    expected = load_file(GOLDEN)[name]
    trunk = network(faces()[name])
    points, irises = network.refined(trunk)
    np.testing.assert_allclose(points, expected[:MESH_POINTS], atol=0.1)
    np.testing.assert_allclose(irises, expected[MESH_POINTS:, :2], atol=0.1)
    assert trunk.score > 0.9


def test_the_heads_replace_lips_and_eyes_and_nothing_else(network: AttentionMesh) -> None:
    trunk = network(faces()["photo"])
    points, _ = network.refined(trunk)
    moved = np.flatnonzero((points != trunk.points).any(axis=1))
    assert moved.tolist() == sorted({*LIPS, *LEFT_EYE, *RIGHT_EYE})
    assert (points[:, 2] == trunk.points[:, 2]).all()


def test_irises_lie_in_the_eyes_in_the_order_that_is_promised(network: AttentionMesh) -> None:
    points, irises = network.refined(network(faces()["photo"]))
    for corners, iris in zip(((33, 133), (362, 263)), irises.reshape(2, 5, 2), strict=True):
        middle, right, top, left, bottom = iris
        assert points[corners[0], 0] < left[0] < middle[0] < right[0] < points[corners[1], 0]
        assert top[1] < middle[1] < bottom[1]


def test_a_picture_of_one_colour_has_finite_points(network: AttentionMesh) -> None:
    for face in (
        np.zeros((INPUT_PX, INPUT_PX, 3), np.uint8),
        np.full((INPUT_PX, INPUT_PX, 3), 255, np.uint8),
    ):
        points, irises = network.refined(network(face))
        assert np.isfinite(points).all()
        assert np.isfinite(irises).all()


def by_mediapipe(face: np.ndarray) -> np.ndarray:
    """(478, 3) landmarks in pixels by MediaPipe's graph for faces, whose region is the whole picture."""
    import mediapipe as mp
    from google.protobuf import text_format
    from mediapipe.framework import calculator_pb2
    from mediapipe.framework.formats import rect_pb2
    from mediapipe.python import packet_creator, packet_getter
    from mediapipe.python._framework_bindings import calculator_graph, resource_util

    resource_util.set_resource_dir(str(Path(mp.__file__).parents[1]))
    graph = calculator_graph.CalculatorGraph(
        graph_config=text_format.Parse(
            """
            input_stream: "image" input_stream: "roi" input_side_packet: "attention" output_stream: "points"
            node { calculator: "FaceLandmarkCpu" input_stream: "IMAGE:image" input_stream: "ROI:roi"
                   input_side_packet: "WITH_ATTENTION:attention" output_stream: "LANDMARKS:points" }
            """,
            calculator_pb2.CalculatorGraphConfig(),
        )
    )
    found = []
    graph.observe_output_stream("points", lambda _, packet: found.append(packet_getter.get_proto(packet)))
    graph.start_run({"attention": packet_creator.create_bool(True)})
    image = packet_creator.create_image_frame(image_format=mp.ImageFormat.SRGB, data=face)
    whole = rect_pb2.NormalizedRect(x_center=0.5, y_center=0.5, width=1, height=1, rotation=0)
    graph.add_packet_to_input_stream("image", image.at(1))
    graph.add_packet_to_input_stream("roi", packet_creator.create_proto(whole).at(1))
    graph.wait_until_idle()
    return INPUT_PX * np.array([(point.x, point.y, point.z) for point in found[0].landmark], np.float32)


if __name__ == "__main__":
    save_file({name: by_mediapipe(face) for name, face in faces().items()}, GOLDEN)
