from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.subclasses.class_balance import class_balance_rate, subclass_counts

# Labelled pixels per class (trainIds) in the official Cityscapes splits, the numbers of subclasses that the
# official USRN code holds for them, and their class balance rate.
CITYSCAPES = {
    "1/16": (
        [128702338, 19623953, 77741464, 2253037, 3699906, 4060688, 724293, 1609553, 56462643, 3867008,
         14137572, 3529179, 518205, 22063893, 1090944, 877427, 1346040, 286437, 1754991],
        [45, 7, 28, 1, 2, 2, 1, 1, 20, 2, 5, 2, 1, 8, 1, 1, 1, 1, 1],
        0.5707,
    ),
    "1/32": (
        [65511049, 9754985, 37628745, 1085555, 1769875, 1990882, 400285, 777194, 29684435, 2316340,
         7132113, 1286534, 305909, 10791907, 976734, 721733, 946472, 176573, 991951],
        [38, 6, 22, 1, 2, 2, 1, 1, 17, 2, 5, 1, 1, 7, 1, 1, 1, 1, 1],
        0.5719,
    ),
}  # fmt: skip


@pytest.mark.parametrize("split", CITYSCAPES)
def test_official_cityscapes_counts(split):
    pixels, official, _ = CITYSCAPES[split]
    assert subclass_counts(pixels, size_factor=10).tolist() == official


@pytest.mark.parametrize("split", CITYSCAPES)
def test_class_balance_rate_of_cityscapes(split):
    pixels, _, rate = CITYSCAPES[split]
    assert class_balance_rate(pixels) == pytest.approx(rate, abs=5e-5)


def test_counts_round_up_and_leave_absent_classes_out():
    counts = subclass_counts([100, 0, 101, 250])
    assert counts.tolist() == [1, 0, 2, 3]
    assert counts.dtype == np.int64


def test_an_exact_multiple_is_not_rounded_up():
    assert subclass_counts([7, 21, 70], size_factor=0.7).tolist() == [2, 5, 15]
    assert subclass_counts([10, 30, 70], size_factor=0.1).tolist() == [10, 30, 70]


def test_never_more_subclasses_than_pixels_or_than_the_largest_number():
    assert subclass_counts([2, 9], size_factor=0.01).tolist() == [2, 9]
    assert subclass_counts([2, 9000], max_subclasses=50).tolist() == [1, 50]


def test_explicit_counts():
    assert subclass_counts([10, 0, 3], counts=[4, 5, 6], max_subclasses=2).tolist() == [4, 0, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"class_counts": [0, 0]}, "only zeros"),
        ({"class_counts": []}, r"shape \(classes,\)"),
        ({"class_counts": [[1, 2]]}, r"received shape \(1, 2\)"),
        ({"class_counts": [1, -2]}, "at least 0"),
        ({"class_counts": [1.5, 2]}, "integers"),
        ({"class_counts": [1, 2], "size_factor": 0}, "`size_factor`"),
        ({"class_counts": [1, 2], "max_subclasses": 0}, "`max_subclasses`"),
        ({"class_counts": [1, 2], "counts": [1]}, r"one value per class \(2\), received 1"),
        ({"class_counts": [1, 2], "counts": [1, 0]}, "at least 1"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        subclass_counts(**arguments)


def test_class_balance_rate_by_hand():
    # n = [3, 1]: std 1; [4, 0]: std 2.
    assert class_balance_rate([3, 1]) == pytest.approx(0.5)
    assert class_balance_rate([5, 5, 5]) == 1.0
    assert class_balance_rate([9, 0, 0]) == pytest.approx(0.0)
    assert class_balance_rate([9]) == 1.0


def test_class_balance_rate_needs_a_size():
    with pytest.raises(ValueError, match="only zeros"):
        class_balance_rate([0, 0])
