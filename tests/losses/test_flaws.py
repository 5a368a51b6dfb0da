"""The targets of GCT against values of the official code."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from tests.methods.rival_golden import rival_golden
from usrn_keras.losses.flaws import blur, blur_kernel, flaw_target, flawless, handled_flaws

pytestmark = pytest.mark.every_backend


def value_of(tensor) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(np.float64(logits) - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def handled(golden: dict) -> list:
    return [handled_flaws(ops.convert_to_tensor(golden[f"raw_flaw_{side}"])) for side in "lr"]


@pytest.mark.parametrize("taps", [3, 5, 9])
def test_kernels_of_the_official_code(taps):
    kernel = blur_kernel(taps)
    expected = rival_golden("gct")[f"blur_kernel_{taps}"]
    np.testing.assert_allclose(np.outer(kernel, kernel), expected, atol=1e-7)


@pytest.mark.parametrize(("divisor", "taps"), [(8, 5), (4, 9), (16, 3), (5, 7)])
def test_blur_is_a_convolution_of_the_mirrored_image(divisor, taps):
    """Of an image of 32 rows, and of 40 columns that have a kernel of their own size."""
    values = np.random.default_rng(0).random((2, 32, 40), dtype="float32")
    across = 40 // divisor + 1 - 40 // divisor % 2
    expected = np.float64(values)
    for axis, count in ((1, taps), (2, across)):
        pad = [(0, 0)] * 3
        pad[axis] = (count // 2, count // 2)
        padded = np.pad(expected, pad, mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, count, axis=axis)
        expected = windows @ blur_kernel(count)
    np.testing.assert_allclose(value_of(blur(values, divisor)), expected, atol=1e-6)


@pytest.mark.parametrize("side", "lr")
def test_flaw_targets_of_the_official_code(side):
    golden = rival_golden("gct")
    labels = golden["labels"].astype("int32")
    assert (labels == 255).any()
    probabilities = ops.convert_to_tensor(np.float32(softmax(golden[f"logits_{side}"])))
    found = flaw_target(probabilities, labels, ops.convert_to_tensor(labels != 255))
    np.testing.assert_allclose(value_of(found), golden[f"flaw_target_{side}"], atol=1e-5)


def test_handled_flaws_of_the_official_code():
    """A map that is quiet gets a constant below 0, the fault of the official code."""
    golden = rival_golden("gct")
    for side, found in zip("lr", handled(golden), strict=True):
        np.testing.assert_allclose(value_of(found), golden[f"handled_flaw_{side}"], atol=1e-5)
    quiet = value_of(handled(golden)[0]).min(axis=(1, 2))
    assert quiet.min() == pytest.approx(-1.2523756, abs=1e-4)


def test_the_network_with_the_smaller_flaw_teaches():
    golden = rival_golden("gct")
    probabilities = {side: softmax(golden[f"logits_{side}"]) for side in "lr"}
    masks = [value_of(mask)[..., None] for mask in flawless(tuple(handled(golden)), 0.6)]
    for side, other, mask in (("l", "r", masks[0]), ("r", "l", masks[1])):
        assert 0 < mask.mean() < 1
        expected = np.where(mask, probabilities[side], probabilities[other])
        np.testing.assert_allclose(golden[f"consistency_target_{side}"], expected, atol=1e-6)


def test_flaws_above_the_threshold_are_equal():
    one, two = (np.float32([[[0.9, 0.3, 0.7, 0.6]]]), np.float32([[[0.7, 0.4, 0.2, 0.5]]]))
    masks = [value_of(mask).tolist() for mask in flawless((one, two), 0.6)]
    assert masks == [[[[True, True, False, False]]], [[[True, False, True, True]]]]


def test_maps_without_flaws():
    zeros = ops.zeros((2, 32, 32))
    np.testing.assert_array_equal(value_of(handled_flaws(zeros)), 0)
    right = ops.convert_to_tensor(np.tile(np.float32([1, 0]), (1, 32, 32, 1)))
    labels = np.zeros((1, 32, 32), "int32")
    found = value_of(flaw_target(right, labels, ops.convert_to_tensor(labels == 0)))
    np.testing.assert_array_equal(found, 0)
