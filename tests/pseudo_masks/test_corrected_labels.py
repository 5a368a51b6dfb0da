"""Alignment against the official code of CReST, and labels gated by F_sub against those of training."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from tests.methods.rival_golden import rival_golden
from usrn_keras.losses import pseudo_labels
from usrn_keras.pseudo_masks.corrected_labels import NO_LABEL, ROWS, aligned, gated, most_likely


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def test_alignment_is_that_of_the_official_code():
    golden, prior = rival_golden("crest/align"), rival_golden("crest")["labelled_prior"]
    prior = np.float64(prior) / prior.sum()
    probabilities = softmax(np.float64(golden["logits"]))
    found = aligned(probabilities, prior, golden["running_mean"], 0.5)
    np.testing.assert_allclose(found, golden["aligned_probabilities_t_0.5"], atol=1e-5)
    for generation in (0, 3, 5):
        values = rival_golden(f"crest/align/generation_{generation}_of_6")
        temperature = float(values["temperature"])
        found = aligned(probabilities, prior, golden["running_mean"], temperature)
        np.testing.assert_array_equal(found.argmax(axis=-1), values["labels"])
        np.testing.assert_array_equal(found.max(axis=-1) >= golden["threshold"], values["mask"])


PARENTS = np.array([0, 0, 1, 2, 2])


@pytest.mark.parametrize("gate", ["fallback", "stop", "off"])
@pytest.mark.parametrize("on_disagreement", ["drop", "override"])
def test_labels_are_those_that_teach_in_training(gate, on_disagreement):
    rng = np.random.default_rng(0)
    shape = (2 * ROWS + 3, 5)
    logits = rng.normal(size=(*shape, 3)).astype("float32") * 2
    sub_logits = rng.normal(size=(*shape, 5)).astype("float32") * 3
    found = pseudo_labels(logits[None], sub_logits[None], PARENTS, gate=gate)
    values = {name: ops.convert_to_numpy(value)[0] for name, value in found.items()}
    agreed = values["confidence"] > 0
    if on_disagreement == "drop":
        agreed &= values["labels"] == values["own_labels"]
    labels, confidence = gated(
        softmax(logits), softmax(sub_logits), PARENTS, gate=gate, on_disagreement=on_disagreement
    )
    np.testing.assert_array_equal(labels, np.where(agreed, values["labels"], NO_LABEL))
    close = np.abs(confidence[agreed].astype(float) - values["confidence"][agreed])
    assert close.max() < 5e-4 and confidence.dtype == np.float16
    assert 0 < agreed.mean() < 1 or (gate, on_disagreement) in (
        ("fallback", "override"), ("off", "override"),
    )  # fmt: skip


def test_the_most_likely_class_and_its_confidence():
    probabilities = np.array([[[0.2, 0.8], [1.0000001, 0.0]]], "float32")
    labels, confidence = most_likely(probabilities)
    assert labels.tolist() == [[1, 0]] and confidence.tolist() == [[np.float16(0.8), 1.0]]
