"""Facts about the face mesh that other parts of the package rely on."""

from mcnet_cli.face import topology
from mcnet_cli.face.outer import ARC_DEG, BODY, head_points
from mcnet_cli.model import eye_shape, face_parts, mouth_shape
from mcnet_cli.model.config import LANDMARKS


def test_the_network_and_the_rest_of_the_package_name_the_same_lips_lids_and_points() -> None:
    inner, outer = topology.INNER_LIPS, topology.OUTER_LIPS
    assert (*inner, *outer) == mouth_shape.LIPS
    assert topology.LID_EDGES == eye_shape.EYE_ARCS
    assert topology.BROW_MIDDLES == face_parts.BROW_MIDDLES
    assert topology.ALL_POINTS == LANDMARKS


def test_points_beyond_the_mesh_are_as_many_as_the_average_head_has() -> None:
    assert (len(topology.SKULL), len(topology.SIDES) + len(topology.BODY_POINTS)) == (len(ARC_DEG), len(BODY))
    assert len(head_points(topology.OUTER)) == len(topology.OUTER)


def test_left_parts_of_the_face_are_the_right_ones_mirrored() -> None:
    x = head_points(tuple(range(topology.MESH_POINTS)))[:, 0]
    for left, right in (topology.MOUTH_CORNERS, topology.OUTER_EYE_CORNERS, topology.INNER_EYE_CORNERS):
        assert x[left] < 0 < x[right]
    for edges in (topology.INNER_LIPS, topology.OUTER_LIPS, *topology.LID_EDGES):
        for edge in edges:
            assert (x[list(edge[1:])] > x[list(edge[:-1])]).all(), "from left to right"


def test_outlines_go_once_around() -> None:
    for edges, outline in zip(
        (topology.INNER_LIPS, *topology.LID_EDGES),
        (topology.MOUTH_OUTLINE, *topology.EYE_OUTLINES),
        strict=True,
    ):
        assert len(outline) == len({*outline})
        assert {*outline} == {*edges[0], *edges[1]}
