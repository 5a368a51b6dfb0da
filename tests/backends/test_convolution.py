"""Padding and dead taps, counted by hand."""

from __future__ import annotations

import pytest
from keras import layers

from usrn_keras.backends.convolution import dead_taps, same_padding


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        ({"pixels": 8, "taps": 3, "stride": 1}, (1, 1)),
        ({"pixels": 8, "taps": 3, "stride": 2}, (0, 1)),  # windows begin at 0, 2, 4, 6; the last ends at 8
        ({"pixels": 7, "taps": 3, "stride": 2}, (1, 1)),
        ({"pixels": 8, "taps": 2, "stride": 1}, (0, 1)),
        ({"pixels": 8, "taps": 7, "stride": 2}, (2, 3)),
        ({"pixels": 8, "taps": 3, "stride": 1, "dilation": 6}, (6, 6)),
        ({"pixels": 8, "taps": 2, "stride": 1, "dilation": 2}, (1, 1)),
        ({"pixels": 9, "taps": 1, "stride": 3}, (0, 0)),
        ({"pixels": 1, "taps": 3, "stride": 2}, (1, 1)),
    ],
)
def test_same_padding(side, expected):
    assert same_padding(**side) == expected


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        ({"kernel_size": 3, "dilation_rate": 18}, (8, 8), (1, 1)),
        ({"kernel_size": 3, "dilation_rate": 7}, (8, 8), (0, 0)),  # from one edge it reaches the other
        ({"kernel_size": 3, "dilation_rate": 8}, (8, 8), (1, 1)),
        ({"kernel_size": 3, "dilation_rate": 8}, (8, 9), (1, 0)),
        ({"kernel_size": 5, "dilation_rate": 4}, (8, 4), (1, 2)),
        ({"kernel_size": 3}, (1, 2), (1, 0)),
        ({"kernel_size": 1}, (1, 1), (0, 0)),
        ({"kernel_size": (15, 3)}, (6, 6), (2, 0)),
        ({"kernel_size": 2, "dilation_rate": 9}, (4, 4), (0, 0)),  # an even kernel has no centre
        ({"kernel_size": 3, "strides": 2}, (1, 1), (0, 0)),
        ({"kernel_size": 3, "dilation_rate": 3, "padding": "valid"}, (7, 7), (0, 0)),
    ],
)
def test_dead_taps(options, size, expected):
    assert dead_taps(layers.Conv2D(4, **({"padding": "same"} | options)), size) == expected
