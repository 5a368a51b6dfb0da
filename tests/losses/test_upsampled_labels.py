"""Labels and confidences by blocks against those of logits upsampled as a whole."""

from __future__ import annotations

import sys

import keras
import numpy as np
import pytest

from usrn_keras.losses import cross_entropy, upsampled_labels

pytestmark = pytest.mark.every_backend

MODULE = sys.modules["usrn_keras.losses.blocks"]


@pytest.mark.parametrize("rows", [1, 3, 100])
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_labels_and_confidence(factor, rows, monkeypatch):
    logits = 3 * np.random.default_rng(factor).normal(size=(2, 6, 5, 4)).astype("float32")
    monkeypatch.setattr(MODULE, "BLOCK_BYTES", rows * 4 * 2 * 5 * factor * 4)
    found = {k: keras.ops.convert_to_numpy(v) for k, v in upsampled_labels(logits, factor).items()}
    full = keras.layers.UpSampling2D(factor, interpolation="bilinear")(logits)
    full = keras.ops.convert_to_numpy(full)
    assert found["labels"].dtype == np.int32
    np.testing.assert_array_equal(found["labels"], full.argmax(-1))
    probabilities = np.exp(full) / np.exp(full).sum(-1, keepdims=True)
    np.testing.assert_allclose(found["confidence"], probabilities.max(-1), rtol=1e-5)


def test_cross_entropy_over_other_pixels_than_those_kept():
    """The sum over the kept pixels is divided by any number, such as that of the valid pixels."""
    logits = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype("float32")
    labels, kept = np.zeros((1, 4, 4), "int32"), np.zeros((1, 4, 4), bool)
    kept[0, :2] = True
    mean = float(keras.ops.convert_to_numpy(cross_entropy(logits, labels, kept)))
    assert float(cross_entropy(logits, labels, kept, pixels=16.0)) == pytest.approx(mean / 2, rel=1e-6)
    assert float(cross_entropy(logits, labels, ~kept & kept, pixels=0.0)) == 0
