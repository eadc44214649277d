"""Which point of the face mesh is what: MediaPipe's 468 points (Kartynnik et al. 2019) and ten beyond them.

Left and right are the picture's, left comes first. Edges run from the left corner to the right one. This
module imports nothing. `mcnet_cli.model`, which may import nothing else of the package, repeats the lips and
lids that it needs; a test compares them.
"""

MESH_POINTS = 468
IRIS_POINTS = 5  # of each iris: its centre, right, top, left and bottom

# Points beyond the mesh, numbered after it (see `outer`): five on the skull, one on each side of the face,
# where hair is, the neck and both shoulders.
OUTER = tuple(range(MESH_POINTS, MESH_POINTS + 10))
SKULL, SIDES, BODY_POINTS = OUTER[:5], OUTER[5:7], OUTER[7:]
ALL_POINTS = MESH_POINTS + len(OUTER)

Edge = tuple[int, ...]
Edges = tuple[Edge, Edge]  # the upper and the lower one of lips, lids or a brow, with the same corners
Pairs = tuple[tuple[int, int], ...]


def outline(edges: Edges) -> Edge:
    """Both edges as one closed polygon, clockwise from the left corner."""
    upper, lower = edges
    return (*upper, *lower[-2:0:-1])


# The outline of the face, clockwise from the top of the forehead.
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
        148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
FOREHEAD, CHIN, EARS = 10, 152, (234, 454)  # EARS: where the oval is widest
NOSE, NOSE_BASE, NOSTRILS = 1, 2, (98, 327)

MOUTH_CORNERS = (61, 291)
OUTER_LIPS: Edges = (
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
)
INNER_LIPS: Edges = (
    (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308),
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308),
)
MOUTH_OUTLINE = outline(INNER_LIPS)
OUTER_LIP_MIDDLES = tuple(edge[len(edge) // 2] for edge in OUTER_LIPS)

OUTER_EYE_CORNERS, INNER_EYE_CORNERS = (33, 263), (133, 362)
LID_EDGES: tuple[Edges, Edges] = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
# The lids as closed polygons: around each eye from its outer corner over the upper lid.
EYE_OUTLINES = (outline(LID_EDGES[0]), (*reversed(LID_EDGES[1][0]), *LID_EDGES[1][1][1:-1]))
LID_CREASES = ((247, 30, 29, 27, 28, 56, 190), (414, 286, 258, 257, 259, 260, 467))  # above the upper lids
BROWS: tuple[Edges, Edges] = (
    ((70, 63, 105, 66, 107), (46, 53, 52, 65, 55)),
    ((336, 296, 334, 293, 300), (285, 295, 282, 283, 276)),
)
BROW_MIDDLES = tuple(upper[2] for upper, _ in BROWS)

# Pairs of points, the upper one first, whose distance says how far mouth and eyes are open.
MOUTH_OPENING: Pairs = ((13, 14),)
LID_OPENINGS: Pairs = ((159, 145), (386, 374))
MOUTH_BOX = (*MOUTH_CORNERS, *MOUTH_OPENING[0])  # points whose extent is the mouth's
