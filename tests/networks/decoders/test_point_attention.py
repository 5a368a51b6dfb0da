"""Point-wise attention against its definition, one pair of pixels at a time."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.tools import gradients
from usrn_keras.networks.decoders.psanet import Gather, PointAttention

EVERY_BACKEND = pytest.mark.every_backend


def random(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def values_of(tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor))


def slow_attention(kind: str, maps: np.ndarray, mask: int) -> np.ndarray:
    """The definition: `A[b, target, source]`, from logits that exist for offsets within the mask alone."""
    batch, height, width, _ = maps.shape
    half, pixels = mask // 2, [(row, column) for row in range(height) for column in range(width)]
    logits = np.full((batch, len(pixels), len(pixels)), -np.inf)
    for one, i in enumerate(pixels):
        for other, j in enumerate(pixels):
            down, right = j[0] - i[0], j[1] - i[1]
            if abs(down) > half or abs(right) > half:
                continue
            logit = maps[:, i[0], i[1], (down + half) * mask + right + half]
            if kind == "collect":
                logits[:, one, other] = logit  # what i draws from j
            else:
                logits[:, other, one] = logit  # what i sends to j
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


# All offsets, and maps larger than the mask.
CASES = [
    (3, 4, 7),
    pytest.param(2, 5, 3, marks=EVERY_BACKEND),
    (4, 3, 1),
    (2, 2, 3),
    (1, 1, 3),
]


@pytest.mark.parametrize("kind", ["collect", "distribute"])
@pytest.mark.parametrize(("height", "width", "mask"), CASES)
def test_attention_is_its_definition(kind, height, width, mask):
    maps = random((2, height, width, mask**2))
    found = values_of(PointAttention(kind, mask)(maps))
    assert found.shape == (2, height, width, height * width)
    expected = slow_attention(kind, maps, mask).reshape(found.shape)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["collect", "distribute"])
@pytest.mark.parametrize(("height", "width", "mask"), [(3, 2, 5), pytest.param(2, 4, 3, marks=EVERY_BACKEND)])
def test_gradients_are_those_of_the_definition(kind, height, width, mask):
    """By finite differences of the definition, in float64."""
    maps = random((1, height, width, mask**2))
    weights = random((height * width, height * width), seed=1)

    def slow(values: np.ndarray) -> float:
        return float((slow_attention(kind, values.reshape(maps.shape), mask)[0] * weights).sum())

    flat, step = maps.ravel().astype("float64"), 1e-5
    expected = [(slow(flat + step * one) - slow(flat - step * one)) / (2 * step) for one in np.eye(flat.size)]
    known = keras.ops.convert_to_tensor(weights.reshape(1, height, width, -1))
    (found,) = gradients(lambda x: keras.ops.sum(PointAttention(kind, mask)(x) * known), [maps])
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-5)
    assert np.abs(found).max() > 0.01


def test_every_pixel_gathers_its_weighted_sum():
    maps, weights = random((2, 2, 3, 4)), random((2, 2, 3, 6), seed=1)
    expected = np.einsum("bij,bjc->bic", weights.reshape(2, 6, 6), maps.reshape(2, 6, 4))
    np.testing.assert_allclose(values_of(Gather()([maps, weights])), expected.reshape(maps.shape), atol=1e-5)


@EVERY_BACKEND
def test_gradients_of_gathering():
    maps, weights = random((1, 2, 2, 3)), random((1, 2, 2, 4), seed=1)
    by_maps, by_weights = gradients(lambda *x: keras.ops.sum(Gather()(list(x))), [maps, weights])
    np.testing.assert_allclose(by_maps[0, :, :, 0].ravel(), weights.reshape(4, 4).sum(0), atol=1e-5)
    np.testing.assert_allclose(by_weights[0, 0, 0], maps.reshape(4, 3).sum(1), atol=1e-5)


def test_pixels_that_are_too_far_apart_do_not_see_each_other():
    weights = values_of(PointAttention("collect", 3)(random((1, 1, 4, 9))))[0, 0]
    assert (weights[0, 2:] == 0).all() and (weights[3, :2] == 0).all() and (weights[1, :3] > 0).all()


def test_large_logits_stay_finite():
    for value in (-3e4, 3e4):
        maps = np.full((1, 2, 2, 9), value, "float32")
        np.testing.assert_allclose(values_of(PointAttention("distribute", 3)(maps)), 0.25, atol=1e-6)


def test_softmax_is_computed_in_float32():
    """In bfloat16 300 and 301 are one number; the layer adds no further rounding of its own."""
    maps = random((1, 3, 3, 25))
    layer = PointAttention("collect", 5, dtype="mixed_bfloat16")
    found = layer(maps)
    assert keras.backend.standardize_dtype(found.dtype) == "bfloat16"
    rounded = values_of(keras.ops.cast(keras.ops.cast(maps, "bfloat16"), "float32"))
    expected = slow_attention("collect", rounded, 5).reshape(1, 3, 3, 9)
    np.testing.assert_allclose(values_of(keras.ops.cast(found, "float32")), expected, rtol=2**-8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("collect", 4), "`mask` must be odd"), (("spread", 3), "`kind` must be 'collect' or 'distribute'")],
)
def test_arguments_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        PointAttention(*arguments)


def test_a_map_of_another_mask_is_refused():
    with pytest.raises(ValueError, match="mask 5 needs 25 channels, received 9"):
        PointAttention("collect", 5)(keras.Input((4, 4, 9)))
