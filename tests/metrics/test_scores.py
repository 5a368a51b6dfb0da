from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics

from usrn_keras.metrics import Provenance, Scores

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
    means += [scores.frequency_weighted_iou, scores.boundary_miou]
    assert np.isnan([*means, *scores.iou, *scores.accuracy, *scores.pixel_share]).all()


def test_one_class():
    scores = Scores("model", ["all"], [[4]])
    assert (scores.miou, scores.pixel_accuracy, scores.rare.tolist()) == (1, 1, [False])


def test_counts_beyond_32_bits():
    scores = Scores("model", ["a", "b"], [[2**40, 2**40], [0, 2**41]])
    assert scores.iou.tolist() == [0.5, 2 / 3]


@pytest.mark.parametrize("present", [[0, 1, 2, 3], [3, 0, 1], [2]])
def test_frequency_weighted_iou_agrees_with_scikit_learn(present):
    truth, predicted = pixels(1, present)
    expected = metrics.jaccard_score(truth, predicted, labels=present, average="weighted")
    assert scores_of(truth, predicted).frequency_weighted_iou == pytest.approx(expected, rel=1e-12)


def test_every_score_of_19_classes_in_50_images_agrees_with_a_loop_over_pixels():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 19, (50, 6, 7))
    predicted = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, 19, truth.shape))
    hits, wanted, found = [0] * 19, [0] * 19, [0] * 19
    for label, guess in zip(truth.ravel().tolist(), predicted.ravel().tolist(), strict=True):
        hits[label] += label == guess
        wanted[label] += 1
        found[guess] += 1
    iou = [h / (w + f - h) for h, w, f in zip(hits, wanted, found, strict=True)]
    confusion = sum(metrics.confusion_matrix(*two, labels=range(19)) for two in flat(truth, predicted))
    scores = Scores("model", [f"class {i}" for i in range(19)], confusion)
    np.testing.assert_allclose(scores.iou, iou)
    assert scores.miou == pytest.approx(sum(iou) / 19)
    assert scores.pixel_accuracy == pytest.approx(sum(hits) / truth.size)
    assert scores.mean_accuracy == pytest.approx(sum(h / w for h, w in zip(hits, wanted, strict=True)) / 19)
    weighted = sum(w * i for w, i in zip(wanted, iou, strict=True)) / truth.size
    assert scores.frequency_weighted_iou == pytest.approx(weighted)
    rare = [i for i, w in zip(iou, wanted, strict=True) if w < sorted(wanted)[9]]
    assert scores.rare_miou == pytest.approx(sum(rare) / len(rare))


def flat(truth: np.ndarray, predicted: np.ndarray):
    return zip(truth.reshape(len(truth), -1), predicted.reshape(len(predicted), -1), strict=True)


def test_boundary_iou_leaves_out_absent_classes_and_those_without_a_boundary():
    boundary = [[3, 4], [1, 4], [0, 0], [0, 5]]  # sky, road, pole without a boundary, sign absent
    scores = Scores("model", CLASSES, np.diag([5, 3, 2, 0]), boundary=boundary)
    np.testing.assert_array_equal(scores.boundary_iou, [0.75, 0.25, np.nan, np.nan])
    assert scores.boundary_miou == 0.5


def test_boundary_iou_that_was_not_measured_is_nan():
    scores = Scores("model", CLASSES, np.diag([5, 3, 2, 0]))
    assert scores.boundary is None
    assert np.isnan([*scores.boundary_iou, scores.boundary_miou]).all() and len(scores.boundary_iou) == 4


def measured() -> Scores:
    provenance = Provenance("camvid", "val", 101, "4d51ba8f8d2e3a90", "whole", "last")
    boundary = [[3, 4], [1, 4], [0, 0], [0, 5]]
    return Scores("model", CLASSES, np.diag([5, 3, 2, 0]), boundary=boundary, provenance=provenance)


@pytest.mark.parametrize("scores", [measured(), Scores("model", CLASSES, np.diag([5, 3, 2, 0]))])
def test_json_and_back_without_nan(scores):
    text = json.dumps(scores.to_json(), allow_nan=False)
    again = Scores.from_json(json.loads(text))
    assert (again.name, again.classes, again.provenance) == (scores.name, scores.classes, scores.provenance)
    assert again.confusion.dtype == np.int64
    assert json.dumps(again.to_json(), allow_nan=False) == text


def test_json_of_the_first_releases():
    value = measured().to_json()
    for key in ("boundary", "boundary_iou", "boundary_miou", "frequency_weighted_iou", "provenance"):
        del value[key]
    old = Scores.from_json(value)
    assert (old.miou, old.boundary, old.provenance) == (1.0, None, None)


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


@pytest.mark.parametrize(
    ("boundary", "message"),
    [
        (np.zeros((4, 4), np.int64), r"shape \(4, 2\).*received \(4, 4\)"),
        (np.zeros((4, 2)), "`boundary` must hold integers, received float64"),
        ([[0, 1], [0, 1], [-1, 1], [0, 1]], "not be negative, received -1"),
        ([[0, 1], [2, 1], [0, 1], [9, 1]], "intersections above unions: road, sign"),
    ],
)
def test_refuses_boundary_counts(boundary, message):
    with pytest.raises(ValueError, match=message):
        Scores("model", CLASSES, np.diag([1, 2, 3, 4]), boundary=boundary)


VAL = Provenance("camvid", "val", 1101, "4d51ba8f", "slide 64, overlap 0.33, flip", "best")


def test_provenance_line_names_all_of_it():
    assert VAL.line() == (
        "camvid val, 1,101 images, lists 4d51ba8f, mode slide 64, overlap 0.33, flip, checkpoint best"
    )


def test_provenance_of_masks_from_files_have_no_checkpoint():
    line = replace(VAL, images=1, mode="masks", checkpoint="").line()
    assert line == "camvid val, 1 image, lists 4d51ba8f, mode masks"


def test_provenance_to_json_and_back():
    assert Provenance.from_json(json.loads(json.dumps(VAL.to_json()))) == VAL
