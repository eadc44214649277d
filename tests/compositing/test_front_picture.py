"""How a front is stored: twice as large, and with the columns in which it is seen and solid."""

import numpy as np
import pytest

from mcnet_cli.compositing.front_picture import ENDLESS, columns_of, ends, enlarged, longest_runs


def person(height: int = 64, width: int = 96) -> np.ndarray:
    """(H, W, 4): a grey rectangle with a soft edge, in front of nothing."""
    matte = np.zeros((height, width))
    matte[15:49, 23:73] = 0.5
    matte[16:48, 24:72] = 1
    return np.rint(np.dstack([*[128 * matte] * 3, 255 * matte])).astype(np.uint8)


def test_pixels_stay_where_they_are_and_others_come_between() -> None:
    large = enlarged(person())
    assert large.shape == (128, 192, 4)
    inside = person()[24:40, 32:64].astype(int)
    assert np.abs(large[48:80:2, 64:128:2] - inside).max() <= 2
    assert (large[..., :3] <= large[..., 3:]).all()  # no colour is more than its matte
    assert large[:16].max() == 0 and large[:, :32].max() == 0


def test_the_columns_tell_where_a_front_is_seen_and_where_it_hides_all() -> None:
    large = enlarged(person())
    seen, solid = columns_of(large)
    matte = large[..., 3]
    for row in range(len(seen)):
        rows = matte[8 * row : 8 * row + 8]
        outside = np.ones(matte.shape[1], bool)
        outside[max(seen[row, 0], 0) : max(seen[row, 1], 0)] = False
        assert rows[:, outside].max(initial=0) == 0
        assert rows[:, max(solid[row, 0], 0) : max(solid[row, 1], 0)].min(initial=255) == 255
    assert solid[8, 1] - solid[8, 0] >= 64
    assert seen[0, 0] > seen[0, 1]  # nothing is seen there


def test_at_the_edges_of_a_picture_columns_go_on_without_end() -> None:
    whole = np.full((16, 20, 4), 255, np.uint8)
    seen, solid = columns_of(whole)
    assert np.array_equal(seen, [[-ENDLESS, ENDLESS]] * 2) and np.array_equal(solid, seen)


@pytest.mark.parametrize(
    ("row", "first_to_last", "longest"),
    [
        ([0, 0, 0, 0], (0, 0), (0, 0)),
        ([1, 1, 1, 1], (0, 4), (0, 4)),
        ([0, 1, 0, 1], (1, 4), (3, 4)),
        ([1, 0, 1, 1], (0, 4), (2, 4)),
        ([1, 1, 0, 1], (0, 4), (0, 2)),
    ],
)
def test_ends_and_the_longest_run(
    row: list[int], first_to_last: tuple[int, int], longest: tuple[int, int]
) -> None:
    flags = np.array([row], bool)
    assert tuple(ends(flags)[0]) == first_to_last
    assert tuple(longest_runs(flags)[0]) == longest
