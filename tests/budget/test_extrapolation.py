from __future__ import annotations

from dataclasses import replace

import pytest

from usrn_keras.budget.budget import Extrapolation, MeasuredStep
from usrn_keras.budget.step_sizes import StepSizes


def of(batch: int, crop: int = 64, accumulation: int = 1) -> StepSizes:
    return StepSizes(batch, batch, crop, accumulation)


def steps(*, peaks=(1000, 1400), seconds=(1.0, 1.5)) -> list[MeasuredStep]:
    sizes = (of(2), of(4))
    return [MeasuredStep(*one) for one in zip(sizes, peaks, seconds, strict=True)]


def test_the_straight_line_by_hand():
    """Batches of 4 and 8 images: 100 bytes and 0.125 s an image, 600 bytes and 0.5 s without images."""
    found = Extrapolation(steps())
    assert [found.peak(of(batch)) for batch in (2, 4, 8, 16)] == [1000, 1400, 2200, 3800]
    assert [found.seconds(of(batch)) for batch in (2, 4, 8, 16)] == [1.0, 1.5, 2.5, 4.5]


def test_a_crop_of_half_the_side_counts_a_quarter():
    found = Extrapolation(steps())
    assert found.peak(of(8, crop=32)) == found.peak(of(2)) == 1000
    assert found.peak(of(2, crop=32)) == 600 + 100 * 4 / 4


def test_accumulated_gradients_and_kept_images_are_added():
    found = Extrapolation(steps(), trainable=10, kept_images=7)
    assert found.peak(of(2)) == 1007
    assert found.peak(of(2, accumulation=2)) == 1007 + 40
    accumulating = [MeasuredStep(of(2, accumulation=2), 1000, 1.0), MeasuredStep(of(4), 1400, 1.0)]
    assert Extrapolation(accumulating, trainable=10).peak(of(2, accumulation=4)) == 1000  # they were measured


def test_noise_makes_no_negative_slope():
    found = Extrapolation(steps(peaks=(1000, 990), seconds=(1.0, 0.9)))
    assert (found.peak(of(16)), found.seconds(of(16))) == (1000, 1.0)


@pytest.mark.parametrize(("room", "expected"), [(1400, True), (1399, False), (None, None)])
def test_fits_the_room(room, expected):
    assert Extrapolation(steps(), room=room).fits(of(4)) is expected


def test_a_larger_step_that_ran_out_of_memory():
    found = Extrapolation(steps()[:1], failed=of(4), room=10**6)
    assert [found.fits(of(batch)) for batch in (2, 4, 8)] == [True, False, False]
    assert (found.peak(of(2)), found.peak(of(8)), found.seconds(of(8))) == (1000, None, None)


def test_one_measured_step_by_hand():
    """600 bytes without images and 100 bytes and 0.25 s an image; compiling took 1100 bytes."""
    found = Extrapolation([MeasuredStep(of(2), 1000, 1.0, first_peak=1100, held=600)], room=2000)
    assert [found.peak(of(batch)) for batch in (2, 3, 8)] == [1100, 1200, 2200]
    assert [found.seconds(of(batch)) for batch in (2, 4, 8)] == [1.0, 2.0, 4.0]
    assert [found.fits(of(batch)) for batch in (2, 8)] == [True, False]


def test_compiling_takes_as_much_for_every_batch():
    smallest, larger = steps()
    found = Extrapolation([replace(smallest, first_peak=1500), replace(larger, first_peak=9999)])
    assert [found.peak(of(batch)) for batch in (2, 4, 8)] == [1500, 1500, 2200]


def test_the_smallest_step_ran_out_of_memory():
    found = Extrapolation([], failed=of(2), room=10**6)
    assert (found.fits(of(2)), found.fits(of(2, crop=32)), found.seconds(of(2))) == (False, None, None)
