from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.evaluation.uncertainty import (
    LARGEST_WEIGHT,
    class_weights,
    impurity,
    measure_uncertainty,
    pooled_features,
)


def softmax(seed, shape=(6, 8, 3)):
    powers = np.exp(np.random.default_rng(seed).normal(size=shape))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)


def test_uncertainty_is_the_doubt_of_each_model_plus_their_disagreement():
    """The law of total variance, against a direct computation."""
    predictions, weights = [softmax(0), softmax(1), softmax(2)], np.array([0.5, 1, 2])
    total, between = impurity(predictions, weights)
    within = np.mean([p * (1 - p) for p in predictions], axis=0) * weights
    np.testing.assert_allclose(total, within + between, atol=1e-6)
    found = measure_uncertainty(np.zeros((6, 8, 3), np.uint8), predictions, weights)
    assert found.score == pytest.approx(total.sum(axis=-1).mean(), rel=1e-5)
    assert found.disagreement == pytest.approx(between.sum(axis=-1).mean(), rel=1e-5)
    assert found.of_class.sum() == pytest.approx(found.score)
    assert measure_uncertainty(np.zeros((6, 8, 3), np.uint8), predictions[:1], weights).disagreement == 0


def test_models_that_are_certain_and_contradict_each_other_are_uncertain():
    first, second = np.zeros((2, 4, 4, 2), np.float32)
    first[..., 0], second[..., 1] = 1, 1
    found = measure_uncertainty(np.zeros((4, 4, 3), np.uint8), [first, second], np.ones(2))
    assert found.score == found.disagreement == 0.5


def test_rare_classes_weigh_more():
    weights = class_weights(np.array([8000, 1000, 1000, 0]))
    assert weights[0] < 1 < weights[1] == weights[2] < weights[3] == LARGEST_WEIGHT
    assert class_weights(np.array([5, 5, 5])).tolist() == pytest.approx([1, 1, 1])


def test_features_tell_where_classes_are_and_how_the_image_looks():
    mean = np.zeros((9, 9, 2), np.float32)
    mean[..., 0] = 1
    image = np.zeros((9, 9, 3), np.uint8)
    plain = pooled_features(image, mean)
    assert plain.shape == (3 * 3 * (2 + 6),)
    moved = mean.copy()
    moved[:3, :3] = [0, 1]
    other = mean.copy()
    other[6:, 6:] = [0, 1]
    assert not np.array_equal(pooled_features(image, moved), pooled_features(image, other))
    assert not np.array_equal(plain, pooled_features(image + 50, mean))
