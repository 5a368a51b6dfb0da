from __future__ import annotations

import numpy as np

from usrn_keras.subclasses.class_clusters import calibrated_temperature, centroid_classifier


def test_centroid_classifier_prefers_the_nearest_centre():
    rng = np.random.default_rng(0)
    centers, x = rng.normal(size=(6, 4)).astype("float32"), rng.normal(size=(50, 4)).astype("float32")
    kernel, bias = centroid_classifier(centers, 0.7)
    nearest = ((x[:, None] - centers) ** 2).sum(-1).argmin(1)
    np.testing.assert_array_equal((x @ kernel + bias).argmax(1), nearest)


def test_temperature_is_calibrated():
    """Samples drawn with softmax(-|x - c|^2 / t) are best explained by about t."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(5, 3)).astype("float32") * 2
    x = rng.normal(size=(4000, 3)).astype("float32") * 2
    scores = (2 * x @ centers.T - (centers**2).sum(1)) / 2.0
    probabilities = np.exp(scores - scores.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    labels = (probabilities.cumsum(1) > rng.random((4000, 1))).argmax(1)
    assert 1.3 < calibrated_temperature(x, labels, centers) < 3.0
