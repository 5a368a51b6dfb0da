from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.report.pseudo_label_rates import PseudoLabelRates


def record(step: int, **changes) -> dict:
    """Two classes; the second is never said."""
    sums = {
        "pixels": [8, 0], "confident": [4, 0], "confident_sub": [2, 0], "open": [6, 0], "entropy": [2.0, 0.0],
        "entropy_sub": [4.0, 0.0], "dropped": [3, 1], "overridden": [0, 2],
    }  # fmt: skip
    quality = {"chosen": [4, 0], "right": [3, 0]}
    made = {
        "step": step, "images": 3, "masks": 2, "threshold": 0.75, "by_pseudo_label": sums,
        "by_true_class": sums | {"pixels": [5, 1]},
        "quality": dict.fromkeys(("corrected", "own", "sub", "dropped"), quality),
    }  # fmt: skip
    return made | changes


def test_shares_are_of_the_pixels_of_each_class():
    rates = PseudoLabelRates([record(0), record(10)])
    assert rates.steps.tolist() == [0, 10]
    np.testing.assert_array_equal(rates.share("confident"), [[0.5, np.nan]] * 2)
    np.testing.assert_array_equal(rates.overall("confident"), [0.5, 0.5])
    np.testing.assert_array_equal(rates.share("entropy"), [[0.25, np.nan]] * 2)
    assert rates.share("open", "by_true_class")[0].tolist() == [6 / 5, 0.0]
    assert (rates.images, rates.masks, rates.threshold) == (3, 2, 0.75)


def test_precision_is_of_what_was_chosen_and_coverage_of_what_is_there():
    rates = PseudoLabelRates([record(0)])
    np.testing.assert_array_equal(rates.precision(), [[0.75, np.nan]])
    np.testing.assert_array_equal(rates.coverage(), [[3 / 5, 0.0]])
    assert rates.overall_precision("own").tolist() == [0.75]
    assert rates.overall_coverage("sub").tolist() == [0.5]
    assert rates.lost("dropped").tolist() == [[3, 1]]


@pytest.mark.parametrize("source", ["corrected", "dropped"])
def test_nothing_chosen_has_no_precision(source):
    nothing = {"chosen": [0, 0], "right": [0, 0]}
    rates = PseudoLabelRates([record(0, quality={source: nothing})])
    assert np.isnan(rates.overall_precision(source)).all()
