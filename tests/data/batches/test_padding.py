from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from usrn_keras.data.batches.padding import fill_batch, pad_image, pad_map, padded_side, padded_size

sides = st.integers(1, 20_000)


@given(sides)
def test_a_side_is_covered_and_divided_by_32_and_stays_if_padded_again(side):
    padded = padded_side(side)
    assert padded >= side and padded % 32 == 0 and padded_side(padded) == padded


@given(sides)
def test_little_is_added(side):
    added = padded_side(side) - side
    if side <= 256:
        assert added < 32
    elif side <= 1024:
        assert added < side / 4
    else:
        assert added < 128  # so no huge image gains more than an eighth on each side


@given(sides, sides)
def test_a_larger_image_is_not_padded_to_less(one, other):
    assert (padded_side(one) <= padded_side(other)) or one > other


def test_sizes_of_voc_need_nine_shapes():
    short = range(250, 501)
    shapes = {padded_size(size) for side in short for size in [(side, 500), (500, side)]}
    assert (
        shapes == {size for side in (256, 320, 384, 480, 512) for size in [(side, 512), (512, side)]}
        and len(shapes) == 9
    )


@pytest.mark.parametrize(
    ("size", "padded"), [((360, 480), (384, 480)), ((720, 960), (768, 960)), ((1024, 2048), (1024, 2048))]
)
def test_common_sizes_are_padded_by_little(size, padded):
    assert padded_size(size) == padded


@pytest.mark.parametrize("size", [(1, 1), (20, 33), (64, 32), (257, 300)])
def test_an_image_stays_and_its_mean_colour_is_around_it(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    padded = pad_image(image)
    assert padded.shape == (*padded_size(size), 3) and padded.dtype == np.uint8
    np.testing.assert_array_equal(padded[: size[0], : size[1]], image)
    mean = np.rint(image.reshape(-1, 3).astype(np.int64).mean(axis=0))
    assert (padded[size[0] :] == mean).all() and (padded[:, size[1] :] == mean).all()


def test_a_map_is_padded_like_its_image():
    for size in product((20, 32, 260), (31, 500)):
        values = np.arange(size[0] * size[1]).reshape(size)
        padded = pad_map(values, fill=-1)
        assert padded.shape == padded_size(size)
        np.testing.assert_array_equal(padded[: size[0], : size[1]], values)
        assert (padded == -1).sum() == padded.size - values.size


def test_a_batch_is_filled_up():
    images = np.full((2, 4, 5, 3), 9, np.uint8)
    filled = fill_batch(images, 3)
    assert filled.shape == (3, 4, 5, 3) and filled.dtype == np.uint8
    assert (filled[:2] == 9).all() and not filled[2].any()
    assert fill_batch(images, 2) is images and fill_batch(images, 1) is images
