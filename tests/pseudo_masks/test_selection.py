"""The selection against values of the official code of DARS, and against a sort of all confidences."""

from __future__ import annotations

import numpy as np
import pytest

from tests.methods.rival_golden import rival_golden
from usrn_keras.pseudo_masks.corrected_labels import most_likely
from usrn_keras.pseudo_masks.quotas import class_quotas
from usrn_keras.pseudo_masks.selection import NOTHING, VALUES, count_confidences, select, thresholds

CLASSES = 6  # of the golden logits


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return rival_golden("dars")


def predicted(golden) -> tuple[np.ndarray, np.ndarray]:
    exponentials = np.exp(golden["logits"] - golden["logits"].max(axis=-1, keepdims=True))
    probabilities = (exponentials / exponentials.sum(axis=-1, keepdims=True)).reshape(-1, 40, CLASSES)
    labels, confidence = most_likely(probabilities)
    return labels.reshape(4, 30, 40), confidence.reshape(4, 30, 40)


def cut(golden) -> tuple[np.ndarray, np.ndarray]:
    valid, pixels, images, ratio = map(float, golden["valid_percent_pixels_per_image_images_ratio"])
    shares = np.float64(golden["labelled_share_percent"])
    # Of all 21 classes there are six; the rest of the labelled pixels is a class that is never predicted.
    labelled = np.append(shares, valid - shares.sum())
    quotas = class_quotas(labelled, ratio, int(pixels * images))[:CLASSES]
    return thresholds(count_confidences(*predicted(golden), CLASSES), quotas)


def test_thresholds_and_shares_are_those_of_the_official_code(golden):
    labels, _ = predicted(golden)
    np.testing.assert_array_equal(np.bincount(labels.ravel()), golden["predicted_pixels"])
    found, shares = cut(golden)
    np.testing.assert_array_equal(found, golden["thresholds"])
    np.testing.assert_allclose(shares, golden["sampling_ratios"], rtol=1e-6)


def test_kept_pixels_are_those_of_the_official_code(golden):
    labels, confidence = predicted(golden)
    found, shares = cut(golden)
    above = select(labels, confidence, found, np.ones(CLASSES), np.random.default_rng(0))
    np.testing.assert_array_equal(np.where(above, labels, 255), golden["labels_above_threshold"])
    for image in range(4):
        rng = np.random.default_rng(image)
        kept = select(labels[image], confidence[image], found, shares, rng)
        counts = np.bincount(labels[image][kept], minlength=CLASSES)
        np.testing.assert_array_equal(counts, golden["kept_by_image_and_class"][image])
        assert not (kept & ~above[image]).any()


@pytest.mark.parametrize("seed", range(8))
def test_thresholds_equal_a_sort_of_all_confidences(seed):
    """With many equal values, classes that nothing is predicted as, and quotas from 0 to above the number."""
    rng = np.random.default_rng(seed)
    classes, size = 7, 3000
    labels = rng.choice([0, 1, 2, 3, 4, 255], size, p=[0.5, 0.3, 0.1, 0.05, 0.01, 0.04])
    confidence = np.float16(rng.choice([rng.random(size), np.round(rng.random(size), 1)]))
    quotas = rng.integers(0, 800, classes)
    quotas[1], quotas[2] = 0, 10_000
    found, shares = thresholds(count_confidences(labels, confidence, classes), quotas)
    for class_id, quota in enumerate(quotas):
        own = np.sort(confidence[labels == class_id])[::-1]
        if quota == 0 or len(own) == 0:
            assert found[class_id] == NOTHING and shares[class_id] == 0
            continue
        assert found[class_id] == own[min(quota, len(own)) - 1]
        assert shares[class_id] == pytest.approx(min(1.0, quota / (own >= found[class_id]).sum()))


@pytest.mark.parametrize("seed", range(4))
def test_the_kept_pixels_fill_the_quotas(seed):
    """To a pixel of each image, since each drops a whole number; without equal values exactly."""
    rng = np.random.default_rng(seed)
    images, classes = 5, 3
    labels = rng.integers(0, classes, (images, 40, 50))
    quotas = np.array([500, 3000, 10])
    confidence = np.float16(rng.random(labels.shape).round(2))
    found, shares = thresholds(count_confidences(labels, confidence, classes), quotas)
    kept = [
        np.bincount(
            labels[i][select(labels[i], confidence[i], found, shares, np.random.default_rng(i))], minlength=3
        )
        for i in range(images)
    ]
    over = np.sum(kept, axis=0) - quotas
    assert (over >= 0).all() and (over <= images).all()
    distinct = np.uint16(rng.permutation(10_000) + 5000).view(np.float16).reshape(labels.shape)
    found, shares = thresholds(count_confidences(labels, distinct, classes), quotas)
    np.testing.assert_array_equal(shares, 1.0)
    kept = select(labels, distinct, found, shares, rng)
    np.testing.assert_array_equal(np.bincount(labels[kept], minlength=3), quotas)


def test_a_class_that_is_never_predicted_keeps_nothing():
    labels, confidence = np.full((4, 4), 1, np.uint8), np.full((4, 4), 0.5, np.float16)
    found, shares = thresholds(count_confidences(labels, confidence, 3), np.array([5, 16, 5]))
    assert found.tolist() == [NOTHING, 0.5, NOTHING] and shares.tolist() == [0, 1, 0]
    assert select(labels, confidence, found, shares, np.random.default_rng(0)).all()


def test_drops_are_random_and_depend_on_the_generator_alone():
    labels, confidence = np.zeros((20, 20), np.uint8), np.ones((20, 20), np.float16)
    draws = [
        select(labels, confidence, np.float32([1]), np.array([0.25]), np.random.default_rng(seed))
        for seed in (0, 0, 1)
    ]
    assert [draw.sum() for draw in draws] == [100, 100, 100]
    assert (draws[0] == draws[1]).all() and (draws[0] != draws[2]).any()


def test_every_float16_up_to_one_has_a_bin_in_its_order():
    values = np.arange(VALUES, dtype=np.uint16).view(np.float16)
    assert values[0] == 0 and values[-1] == 1 and (np.diff(values.astype(np.float64)) > 0).all()
    counts = count_confidences(np.zeros(VALUES, np.uint8), values, 1)
    assert (counts == 1).all()
