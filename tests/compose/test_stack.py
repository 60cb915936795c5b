"""Composing is exact at both ends and the same everywhere."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mapstyle.compose import compose, overlay
from mapstyle.frame import Frame, Grid
from mapstyle.image import MapImage


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_overlay_is_the_rounded_mix(below, above, alpha):
    ground = np.full((2, 3, 3), below, np.uint8)
    sheet = np.full((2, 3, 4), above, np.uint8)
    sheet[..., 3] = alpha
    overlay(ground, sheet)
    assert abs(int(ground[0, 0, 0]) - (above * alpha + below * (255 - alpha)) / 255) <= 0.5
    if alpha == 0:
        assert (ground == below).all()
    if alpha == 255:
        assert (ground == above).all()


def test_later_sheets_lie_on_top_and_the_result_is_opaque():
    frame = Frame(Grid.web_mercator(1), 0, 0, 2, 2)
    ground = MapImage(frame, np.zeros((2, 2, 4), np.uint8))
    red, blue = (np.zeros((2, 2, 4), np.uint8) for _ in range(2))
    red[...] = (255, 0, 0, 255)
    blue[0] = (0, 0, 255, 255)
    done = compose(ground, [MapImage(frame, red), MapImage(frame, blue)])
    assert done.rgba[0, 0].tolist() == [0, 0, 255, 255]
    assert done.rgba[1, 0].tolist() == [255, 0, 0, 255]
    assert (ground.rgba == 0).all()
