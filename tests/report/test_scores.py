from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics

from usrn_keras.report import Scores

CLASSES = ("sky", "road", "pole", "sign")


def pixels(seed: int, present: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted class ids; predictions are over all classes, right about half of the time."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(present, size=2000, p=np.arange(1, len(present) + 1) / sum(range(len(present) + 1)))
    guess = rng.integers(0, len(CLASSES), size=truth.size)
    return truth, np.where(rng.random(truth.size) < 0.5, truth, guess)


def scores_of(truth: np.ndarray, predicted: np.ndarray) -> Scores:
    confusion = metrics.confusion_matrix(truth, predicted, labels=range(len(CLASSES)))
    return Scores("model", CLASSES, confusion)


@pytest.mark.parametrize("present", [[0, 1, 2, 3], [3, 0, 1], [2]])
def test_agrees_with_scikit_learn(present):
    truth, predicted = pixels(0, present)
    scores = scores_of(truth, predicted)
    iou = metrics.jaccard_score(truth, predicted, labels=present, average=None)
    np.testing.assert_allclose(scores.iou[present], iou)
    np.testing.assert_allclose(scores.miou, iou.mean())
    np.testing.assert_allclose(scores.pixel_accuracy, metrics.accuracy_score(truth, predicted))
    recall = metrics.recall_score(truth, predicted, labels=present, average=None)
    np.testing.assert_allclose(scores.accuracy[present], recall)
    np.testing.assert_allclose(scores.mean_accuracy, recall.mean())


def test_absent_classes_are_nan_and_left_out_even_where_they_are_predicted():
    scores = Scores("model", CLASSES, [[5, 0, 0, 5], [0, 10, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert scores.present.tolist() == [True, True, False, False]
    np.testing.assert_array_equal(scores.iou, [0.5, 1, np.nan, np.nan])
    assert scores.miou == 0.75


def test_rare_classes_lie_below_the_median_of_the_present_ones():
    scores = Scores("model", CLASSES, np.diag([100, 50, 10, 0]))
    assert scores.rare.tolist() == [False, False, True, False]
    assert Scores("model", CLASSES, np.diag([100, 50, 10, 5])).rare.tolist() == [False, False, True, True]


def test_rare_miou_is_the_mean_over_the_rare_classes():
    scores = Scores("model", CLASSES, [[90, 0, 5, 5], [0, 50, 0, 0], [0, 0, 10, 0], [0, 0, 2, 3]])
    assert scores.rare_miou == pytest.approx((10 / 17 + 3 / 10) / 2)


def test_equally_frequent_classes_are_not_rare():
    scores = Scores("model", CLASSES, np.diag([7, 7, 7, 7]))
    assert not scores.rare.any()
    assert np.isnan(scores.rare_miou)


def test_pixel_share_sums_to_one():
    scores = Scores("model", CLASSES, np.diag([5, 3, 2, 0]))
    np.testing.assert_allclose(scores.pixel_share, [0.5, 0.3, 0.2, 0])


def test_without_a_pixel_everything_is_nan():
    scores = Scores("model", CLASSES, np.zeros((4, 4), np.int64))
    means = [scores.miou, scores.rare_miou, scores.pixel_accuracy, scores.mean_accuracy]
    assert np.isnan([*means, *scores.iou, *scores.accuracy, *scores.pixel_share]).all()


def test_one_class():
    scores = Scores("model", ["all"], [[4]])
    assert (scores.miou, scores.pixel_accuracy, scores.rare.tolist()) == (1, 1, [False])


def test_counts_beyond_32_bits():
    scores = Scores("model", ["a", "b"], [[2**40, 2**40], [0, 2**41]])
    assert scores.iou.tolist() == [0.5, 2 / 3]


def test_json_and_back_without_nan():
    scores = Scores("model", CLASSES, np.diag([5, 3, 2, 0]))
    text = json.dumps(scores.to_json(), allow_nan=False)
    again = Scores.from_json(json.loads(text))
    assert (again.name, again.classes) == (scores.name, scores.classes)
    np.testing.assert_array_equal(again.confusion, scores.confusion)
    assert again.confusion.dtype == np.int64


def test_named_changes_the_name_alone():
    scores = Scores("model", ["all"], [[4]])
    assert scores.named("other").name == "other"
    assert scores.named("other").confusion.tolist() == [[4]]


@pytest.mark.parametrize(
    ("confusion", "message"),
    [
        (np.zeros((3, 3), np.int64), r"shape \(4, 4\).*received \(3, 3\)"),
        (np.zeros((4, 4)), "integers, received float64"),
        (np.diag([1, 2, -3, 4]), "not be negative, received -3"),
    ],
)
def test_refuses(confusion, message):
    with pytest.raises(ValueError, match=message):
        Scores("model", CLASSES, confusion)
