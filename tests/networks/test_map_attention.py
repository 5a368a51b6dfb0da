"""Attention between maps against its definition."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.tools import gradients
from usrn_keras.networks.keras_cv_segformer import MapAttention


def maps_of(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, height, width, 6)).astype("float32")


def slow(queries: np.ndarray, keys: np.ndarray, values: np.ndarray, heads: int) -> np.ndarray:
    """softmax(Q K^T / sqrt(d)) V for each image and head."""
    answers = np.zeros_like(queries)
    for image in range(len(queries)):
        for part in np.split(np.arange(queries.shape[-1]), heads):
            q, k, v = (maps[image][..., part].reshape(-1, len(part)) for maps in (queries, keys, values))
            logits = q @ k.T / len(part) ** 0.5
            weights = np.exp(logits - logits.max(1, keepdims=True))
            answer = weights / weights.sum(1, keepdims=True) @ v
            answers[image][..., part] = answer.reshape(*queries.shape[1:3], -1)
    return answers


@pytest.mark.parametrize("heads", [1, pytest.param(3, marks=pytest.mark.every_backend)])
@pytest.mark.parametrize("of", [(2, 3), (1, 2)])
def test_attention_is_its_definition(heads, of):
    given = [maps_of(2, 3, 0), maps_of(*of, 1), maps_of(*of, 2)]
    found = np.array(keras.ops.convert_to_numpy(MapAttention(heads)(given)))
    np.testing.assert_allclose(found, slow(*given, heads), atol=1e-5)


@pytest.mark.every_backend
def test_gradients_reach_queries_keys_and_values():
    found = gradients(
        lambda *x: keras.ops.sum(keras.ops.square(MapAttention(2)(list(x)))),
        [maps_of(2, 3, 0), maps_of(1, 2, 1), maps_of(1, 2, 2)],
    )
    assert all(np.abs(gradient).max() > 1e-3 for gradient in found)
