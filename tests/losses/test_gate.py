"""What the gate does to pseudo labels, and what is left without F_sub."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from usrn_keras.losses import pseudo_labels, unlabelled_losses, usrn_losses

pytestmark = pytest.mark.every_backend

VIEWS = ("labelled", "weak", "strong")
PARENTS = np.array([0, 0, 1, 2], "int32")
LEVELS = ("subclass", "class")


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


def test_the_gate_at_class_level_reads_the_class_sums():
    """It equals a gate in numpy, and ignores doubt between the subclasses of one class."""
    rng = np.random.default_rng(1)
    p, q = (3 * rng.normal(size=(2, 7, 7, channels)).astype("float32") for channels in (3, 4))
    softmax = [np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in (p, q)]
    sums = softmax[1] @ np.eye(3)[PARENTS]
    entropy = [-(x * np.log(x)).sum(-1) / np.log(3) for x in (softmax[0], sums)]
    found = pseudo_labels(p, q, PARENTS, gate_level="class")["open"]
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), entropy[1] <= entropy[0])
    halves = np.float32([[[[5.0, 5.0, -9.0, -9.0]]]])
    sure = np.float32([[[[3.0, -2.0, -2.0]]]])
    opened = [bool(pseudo_labels(sure, halves, PARENTS, gate_level=level)["open"]) for level in LEVELS]
    assert opened == [False, True]


def test_an_unknown_level_is_refused():
    logits = np.zeros((1, 1, 1, 3), "float32")
    with pytest.raises(ValueError, match="`gate_level` must be one of subclass, class, received 'pixel'"):
        pseudo_labels(logits, np.zeros((1, 1, 1, 4), "float32"), PARENTS, gate_level="pixel")


def test_l_sub_has_a_threshold_and_targets_of_its_own():
    """Eq. 5 in numpy, with labels of another source; L_e keeps the threshold of F."""
    rng = np.random.default_rng(2)
    logits, sub_logits = (
        {view: (3 * rng.normal(size=(2, 5, 5, channels))).astype("float32") for view in VIEWS[1:]}
        for channels in (3, 4)
    )
    labels, confidence = rng.integers(0, 4, (2, 5, 5)).astype("int32"), rng.random((2, 5, 5), "float32")
    plain = unlabelled_losses(logits, sub_logits, PARENTS)
    targets = {"sublabels": labels, "sub_confidence": confidence}
    own = unlabelled_losses(logits, sub_logits, PARENTS, sub_threshold=0.3, sub_targets=targets)
    strong = sub_logits["strong"]
    log_softmax = strong - np.log(np.exp(strong).sum(-1, keepdims=True))
    losses = -np.take_along_axis(log_softmax, labels[..., None], -1)[..., 0]
    assert float(own["self_training_sub"]) == pytest.approx((losses * (confidence > 0.3)).mean(), rel=1e-4)
    assert float(own["self_training"]) == float(plain["self_training"])
    assert float(own["confident_sub"]) == pytest.approx((confidence > 0.3).mean())
