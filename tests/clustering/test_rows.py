from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.clustering.rows import Frame, center_halves, draw_sample, sum_blocks


def test_every_half_is_converted_exactly():
    bits = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    found = np.empty(bits.shape, np.float32)
    assert not center_halves(bits, np.zeros(256, np.float32), np.float32(1.0), found)
    halves = bits.view(np.float16)
    finite = np.isfinite(halves)
    np.testing.assert_array_equal(found[finite], halves[finite].astype(np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_half_that_is_not_finite_is_noticed(value):
    rows = np.ones((5, 3), np.float16)
    rows[4, 2] = value
    found = np.empty(rows.shape, np.float32)
    assert not center_halves(rows.view(np.uint16), np.zeros(3, np.float32), np.float32(1.0), found)
    assert center_halves(rows[:4].view(np.uint16), np.zeros(3, np.float32), np.float32(1.0), found[:4])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_frame_is_the_same_for_every_type(dtype, order):
    rows = np.random.default_rng(0).normal(3.0, 2.0, (500, 4)).astype(np.float16)
    frame = Frame.around(rows.astype(np.float32))
    expected = (rows.astype(np.float64) - frame.shift) * frame.scale
    np.testing.assert_allclose(frame.apply(rows.astype(dtype, order=order)), expected, rtol=1e-6, atol=1e-6)


def test_restore_is_the_inverse():
    rows = np.random.default_rng(0).normal(1e4, 1e-2, (500, 4))
    frame = Frame.around(rows)
    np.testing.assert_allclose(frame.restore(frame.apply(rows).astype(np.float64)), rows, rtol=1e-8)


def test_the_sample_is_of_distinct_rows_in_drawn_order():
    data = np.arange(10_000.0).reshape(-1, 1)
    frame, sample = draw_sample(data, 6000, np.random.RandomState(0), threads=2)
    values = frame.restore(sample.astype(np.float64)).round().astype(int).ravel()
    assert len(np.unique(values)) == 6000
    assert 0.4 < (np.diff(values) > 0).mean() < 0.6


def test_sums_over_blocks_do_not_depend_on_the_threads():
    values = np.random.default_rng(0).normal(size=50_000).astype(np.float32)
    one, two = (sum_blocks(lambda a, b: (values[a:b].sum(),), len(values), threads) for threads in (1, 2))
    assert one == two
