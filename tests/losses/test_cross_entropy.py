"""The blockwise loss and its own gradient against a plain one of logits upsampled as a whole."""

from __future__ import annotations

import math
import sys

import keras
import numpy as np
import pytest

from tests.tools import gradients
from usrn_keras.losses.blocks import blocks_of_rows
from usrn_keras.losses.cross_entropy import cross_entropy, cross_entropy_and_accuracy

pytestmark = pytest.mark.every_backend

IGNORED = 255
MODULE = sys.modules["usrn_keras.losses.blocks"]


def problem(factor: int, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Logits `(2, 6, 5, classes)` and labels, a third of them ignored."""
    rng = np.random.default_rng(factor)
    labels = rng.integers(0, classes, (2, 6 * factor, 5 * factor)).astype("int32")
    labels[rng.random(labels.shape) < 1 / 3] = IGNORED
    return 2 * rng.normal(size=(2, 6, 5, classes)).astype("float32"), labels


def plain(logits, labels):
    """The loss as it is written: upsample, softmax, mean over the labelled pixels."""
    layer = keras.layers.UpSampling2D(labels.shape[1] // logits.shape[1], interpolation="bilinear")
    valid = labels != IGNORED
    one_hot = np.eye(logits.shape[-1], dtype="float32")[np.where(valid, labels, 0)] * valid[..., None]
    log_softmax = keras.ops.log_softmax(layer(keras.ops.convert_to_tensor(logits)))
    return -keras.ops.sum(log_softmax * keras.ops.convert_to_tensor(one_hot)) / float(valid.sum())


def ours(logits, labels):
    return cross_entropy_and_accuracy(logits, labels, labels != IGNORED)


@pytest.fixture(params=[1, 2, 12], ids=lambda rows: f"{rows} rows")
def block_rows(request, monkeypatch):
    """Blocks of so many rows of the tests' logits, enlarged by 2; more or fewer with another factor."""
    row_bytes = 4 * 2 * 10 * 5
    monkeypatch.setattr(MODULE, "BLOCK_BYTES", request.param * row_bytes)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_loss_and_accuracy(factor, block_rows):
    logits, labels = problem(factor)
    loss, accuracy = ours(logits, labels)
    enlarged = keras.layers.UpSampling2D(factor, interpolation="bilinear")(logits)
    chosen = np.asarray(keras.ops.convert_to_numpy(enlarged)).argmax(-1)
    assert float(loss) == pytest.approx(float(plain(logits, labels)), rel=1e-5)
    assert float(accuracy) == pytest.approx((chosen == labels)[labels != IGNORED].mean(), abs=1e-6)


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_gradient(factor, block_rows):
    logits, labels = problem(factor)
    (found,) = gradients(lambda values: 3 * ours(values, labels)[0], [logits])
    (expected,) = gradients(lambda values: 3 * plain(values, labels), [logits])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(expected).max() > 1e-3


def test_accuracy_carries_no_gradient():
    logits, labels = problem(2)

    def both(values):
        loss, accuracy = ours(values, labels)
        return loss + 10 * accuracy

    alone = gradients(lambda values: ours(values, labels)[0], [logits])[0]
    np.testing.assert_allclose(gradients(both, [logits])[0], alone, atol=1e-7)


@pytest.mark.parametrize("factor", [1, 4])
def test_nothing_labelled(factor):
    logits, labels = problem(factor)
    labels[:] = IGNORED
    loss, accuracy = ours(logits, labels)
    assert (float(loss), float(accuracy)) == (0, 0)
    assert not gradients(lambda values: ours(values, labels)[0], [logits])[0].any()


def test_huge_logits_do_not_overflow():
    logits = np.array([[[[1e4, -1e4]]]], "float32")
    labels = np.zeros((1, 2, 2), "int32")
    assert float(cross_entropy(logits, labels, labels == 0)) == 0
    assert float(cross_entropy(logits, labels + 1, labels == 0)) == pytest.approx(2e4)


def test_equal_logits_cost_the_logarithm_of_their_number():
    labels = np.zeros((1, 8, 8), "int32")
    loss = cross_entropy(np.zeros((1, 2, 2, 177), "float32"), labels, labels == 0)
    assert float(loss) == pytest.approx(math.log(177), rel=1e-6)


@pytest.mark.parametrize("size", [(9, 8), (8, 12), (2, 2)])
def test_labels_of_another_size_are_refused(size):
    labels = np.zeros((1, *size), "int32")
    with pytest.raises(ValueError, match=f"{size[0]} x {size[1]} labels and 4 x 4 logits"):
        cross_entropy(np.zeros((1, 4, 4, 3), "float32"), labels, labels == 0)


def test_blocks_are_equal_and_fit(monkeypatch):
    monkeypatch.setattr(MODULE, "BLOCK_BYTES", 50)
    assert blocks_of_rows(12, row_bytes=4) == 1  # 48 bytes as a whole
    assert blocks_of_rows(12, row_bytes=12) == 3  # 4 rows are 48 bytes
    assert blocks_of_rows(12, row_bytes=16) == 4  # 3 rows, also 48
    assert blocks_of_rows(12, row_bytes=1000) == 12  # a row is more than wanted, and the least there is
