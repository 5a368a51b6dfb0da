"""Quotas of classes: by their share of the labelled pixels, and by the rates of CReST."""

from __future__ import annotations

import numpy as np
import pytest

from tests.methods.rival_golden import rival_golden
from usrn_keras.pseudo_masks.quotas import class_quotas, equal_quotas, rate_quotas
from usrn_keras.pseudo_masks.selection import count_confidences, select, thresholds


@pytest.mark.parametrize("alpha", [1, 3])
@pytest.mark.parametrize("order", ["sorted", "shuffled"])
def test_rates_keep_what_the_official_code_keeps(alpha, order):
    """Which relies on class ids in the order of frequency; with ours any order gives the same pixels."""
    golden = rival_golden("crest")
    scores, prior = golden["scores"], golden["labelled_prior"]
    names = np.arange(5) if order == "sorted" else np.array([3, 0, 4, 2, 1])  # our id of each of theirs
    labelled = np.empty(5)
    labelled[names] = prior
    labels, confidence = names[scores.argmax(axis=1)], np.float16(scores.max(axis=1))
    counts = count_confidences(labels, confidence, 5)
    quotas = rate_quotas(labelled, 1 / alpha, counts.sum(axis=1))
    np.testing.assert_array_equal(quotas[names], golden[f"kept_per_class_alpha_{alpha}"])
    kept = select(labels, confidence, *thresholds(counts, quotas), np.random.default_rng(0))
    theirs = np.argsort(names)[labels]
    np.testing.assert_array_equal(np.where(kept, theirs, -1), golden[f"kept_label_alpha_{alpha}"])


def test_all_of_the_rarest_class_is_kept_and_an_absent_one_keeps_nothing():
    quotas = rate_quotas(np.array([1000, 0, 1, 125]), 1 / 3, np.array([800, 50, 7, 64]))
    assert quotas.tolist() == [80, 0, 7, 32]


def test_class_quotas_are_shares_of_all_pixels():
    quotas = class_quotas(np.array([90, 0, 10]), ratio=0.2, pixels=1001)
    assert quotas.tolist() == [180, 0, 20]
    with pytest.raises(ValueError, match="`labelled` must count at least one pixel, received"):
        class_quotas(np.zeros(3), ratio=0.2, pixels=10)


def test_products_that_are_whole_but_for_rounding_are_whole():
    """0.29 * 100 is 28.999... in float64."""
    assert class_quotas(np.array([1.0]), ratio=0.29, pixels=100).tolist() == [29]


def test_subclasses_have_equal_quotas():
    assert equal_quotas(3, ratio=0.5, pixels=100).tolist() == [16, 16, 16]
