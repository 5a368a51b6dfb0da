"""What the gate does to pseudo labels, and what is left without F_sub."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from usrn_keras.losses import pseudo_labels, unlabelled_losses, usrn_losses

pytestmark = pytest.mark.every_backend

VIEWS = ("labelled", "weak", "strong")
PARENTS = np.array([0, 0, 1, 2], "int32")


def random_losses(seed: int = 0, **options) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    logits = {view: (4 * rng.normal(size=(2, 6, 6, 3))).astype("float32") for view in VIEWS}
    sub_logits = {view: (4 * rng.normal(size=(2, 6, 6, 4))).astype("float32") for view in VIEWS}
    sublabels = rng.integers(0, 4, (2, 6, 6)).astype("int32")
    terms = usrn_losses(logits, sub_logits, PARENTS[sublabels], sublabels, PARENTS, **options)
    return {name: float(value) for name, value in terms.items()}


@pytest.mark.parametrize("sub", [True, False], ids=["closed gate", "no F_sub"])
def test_without_the_mask_f_trains_itself(sub):
    """Plain self-training: the pixels where F's own softmax exceeds gamma."""
    rng = np.random.default_rng(0)
    weak, strong = ((4 * rng.normal(size=(2, 6, 6, 3))).astype("float32") for _ in range(2))
    sub_weak = (4 * rng.normal(size=(2, 6, 6, 4))).astype("float32")
    terms = unlabelled_losses(
        {"weak": weak, "strong": strong}, {"weak": sub_weak} if sub else {}, PARENTS,
        threshold=0.9, lambda_u=0.5, gate="closed",
    )  # fmt: skip
    softmax = [np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in (weak, strong)]
    confident, own = softmax[0].max(-1) > 0.9, softmax[0].argmax(-1)
    losses = -np.log(np.take_along_axis(softmax[1], own[..., None], -1))[..., 0]
    expected = (losses * confident).mean()
    assert float(terms["self_training"]) == pytest.approx(expected, rel=1e-4)
    assert float(terms["loss"]) == pytest.approx(0.5 * expected, rel=1e-4)
    assert [float(terms[name]) for name in ("gate_open", "gate_dropped", "label_overridden")] == [0, 0, 0]
    assert "self_training_sub" not in terms


@pytest.mark.parametrize("seed", range(3))
def test_above_one_half_the_mask_is_plain_disagreement(seed):
    """What design and table `controls` say: Eq. 4 without Eq. 6 drops the pixels where the heads differ."""
    rng = np.random.default_rng(seed)
    p, q = (4 * rng.normal(size=(1, 9, 9, channels)).astype("float32") for channels in (3, 4))
    pseudo = pseudo_labels(p, q, PARENTS, gate="off")
    confident = np.asarray(keras.ops.convert_to_numpy(pseudo["confidence"])) > 0.51
    own = np.exp(p).max(-1) / np.exp(p).sum(-1) > 0.51
    agree = PARENTS[q.argmax(-1)] == p.argmax(-1)
    np.testing.assert_array_equal(confident, own & agree)
    assert random_losses(seed, gate="off")["label_overridden"] == 0


def test_below_one_half_labels_are_overridden():
    assert random_losses(gate="off", threshold=0.05)["label_overridden"] > 0
