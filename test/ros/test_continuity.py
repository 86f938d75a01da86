"""When a stream starts anew."""

from __future__ import annotations

import pytest

from robotseg_ros.ros.continuity import Continuity

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    "first, second, reason",
    [
        (((4, 6), SECOND), ((4, 6), 2 * SECOND), None),
        (((4, 6), SECOND), ((6, 4), 2 * SECOND), "image size changed from 6 x 4 to 4 x 6"),
        (((4, 6), 9 * SECOND), ((4, 6), 2 * SECOND), "time went back by 7.000 s"),
        (((4, 6), 9 * SECOND), ((4, 6), 9 * SECOND), None),
        (((4, 6), 9 * SECOND), ((4, 6), 9 * SECOND - 50_000_000), None),
        (((4, 6), 9 * SECOND), ((4, 6), 0), None),
        (((4, 6), 0), ((4, 6), SECOND), None),
    ],
)
def test_a_stream_breaks_where_size_or_time_jump(first, second, reason):
    continuity = Continuity()
    assert continuity.break_before(*first) is None
    assert continuity.break_before(*second) == reason
    assert continuity.break_before(second[0], second[1] or first[1]) is None


def test_a_jump_behind_an_image_without_a_stamp_is_seen():
    continuity = Continuity()
    for stamp in (9 * SECOND, 0):
        assert continuity.break_before((4, 6), stamp) is None
    assert continuity.break_before((4, 6), SECOND) == "time went back by 8.000 s"
