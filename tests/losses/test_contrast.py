"""Directional contrast against CAC's official code and against plain numpy, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from tests.methods.rival_golden import rival_golden
from tests.tools import gradients
from usrn_keras.losses import contrast, directional_contrast

pytestmark = pytest.mark.every_backend


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype("float32")


def drawn(seed: int, *, anchors: int = 30, groups: int = 3, rows: int = 12, channels: int = 5) -> list:
    rng = np.random.default_rng(seed)
    return [
        unit(rng.normal(size=(anchors, channels))),
        unit(rng.normal(size=(anchors, channels))),
        rng.integers(0, 4, anchors),
        (rng.random(anchors) * (rng.random(anchors) < 0.6)).astype("float32"),
        unit(rng.normal(size=(groups, rows, channels))),
        rng.integers(-1, 4, (groups, rows)),
    ]


def expected(features, positives, labels, weights, bank, bank_labels, temperature: float) -> np.ndarray:
    """Loss and gradient by the whole matrix, in float64."""
    features, positives = np.float64(features), np.float64(positives)
    bank, bank_labels = np.float64(bank).reshape(-1, bank.shape[-1]), bank_labels.ravel()
    own = (features * positives).sum(-1, keepdims=True) / temperature
    negative = (bank_labels != -1) & (bank_labels != labels[:, None])
    similar = np.where(negative, features @ bank.T / temperature, -np.inf)
    every = np.concatenate([own, similar], axis=1)
    largest = every.max(1, keepdims=True)
    total = np.exp(every - largest).sum(1, keepdims=True)
    losses = (np.log(total) + largest - own)[:, 0]
    shares = np.exp(every - largest) / total
    gradient = (shares[:, :1] * positives + shares[:, 1:] @ bank - positives) / temperature
    return (losses * weights).sum(), gradient * weights[:, None]


@pytest.mark.parametrize("block_bytes", [1, 600, 1e9])
@pytest.mark.parametrize("temperature", [0.1, 0.005])
def test_blocks_give_the_exact_loss_and_gradient(monkeypatch, block_bytes, temperature):
    """A temperature of 0.005 needs the running maximum: exp(200) is no float32."""
    monkeypatch.setattr(contrast, "BLOCK_BYTES", block_bytes)
    given = drawn(0)
    loss, gradient = expected(*given, temperature)

    def compute(features):
        return directional_contrast(features, *given[1:], temperature=temperature)

    np.testing.assert_allclose(float(ops.convert_to_numpy(compute(given[0]))), loss, rtol=1e-5)
    (found,) = gradients(compute, given[:1])
    np.testing.assert_allclose(found, gradient, atol=1e-5 * abs(gradient).max())


def test_number_of_blocks():
    bank = np.zeros((2, 1600, 128), "float32")
    assert [contrast._blocks(bank, anchors) for anchors in (1, 12_800, 40_000, None)] == [1, 2, 4, 1]


def test_nothing_but_the_features_has_a_gradient():
    given = drawn(1)

    def compute(features, positives, bank):
        return directional_contrast(features, positives, *given[2:4], bank, given[5])

    found = gradients(compute, [given[0], given[1], given[4]])
    assert (found[0] != 0).any() and (found[1] == 0).all() and (found[2] == 0).all()


@pytest.mark.parametrize("step", [0, 1])
def test_values_of_the_official_code(step):
    """Its masks are given: two confidences of step 1 differ by 2e-7 only."""
    golden = rival_golden("cac")
    golden |= {name.removeprefix(f"step_{step}/"): value for name, value in golden.items()}
    bank, bank_labels = golden["bank_features"][None], golden["bank_labels"].astype("int32")[None]
    for one, two in ((1, 2), (2, 1)):
        loss = directional_contrast(
            golden[f"overlap_features_{one}"],
            golden[f"overlap_features_{two}"],
            golden[f"overlap_labels_{one}"].astype("int32"),
            golden[f"mask_{one}{two}"] / golden[f"mask_{one}{two}"].sum(),
            bank,
            bank_labels,
        )
        np.testing.assert_allclose(float(ops.convert_to_numpy(loss)), golden[f"loss_{one}{two}"], rtol=1e-5)


def test_empty_rows_are_no_negatives():
    given = drawn(3)
    empty = [given[4] * 0 + given[0][0], np.full_like(given[5], -1)]
    assert float(ops.convert_to_numpy(directional_contrast(*given[:4], *empty))) == pytest.approx(0, abs=1e-6)
