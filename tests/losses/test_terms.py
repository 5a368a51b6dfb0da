"""The ablation: each set of terms is the objective that the paper's table names."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from usrn_keras.losses import pseudo_labels, usrn_losses
from usrn_keras.terms import ALL_TERMS, TERMS, gate_of, term_faults

pytestmark = pytest.mark.every_backend

VIEWS = ("labelled", "weak", "strong")
PARENTS = np.array([0, 0, 1, 2], "int32")
MODELS = {
    "I": ("msl",),
    "II": ("msl", "ost"),
    "III": ("msl", "ost", "usr"),
    "IV": ("msl", "ost", "usr", "sst"),
}


def random_losses(seed: int = 0, **options) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    logits = {view: (4 * rng.normal(size=(2, 6, 6, 3))).astype("float32") for view in VIEWS}
    sub_logits = {view: (4 * rng.normal(size=(2, 6, 6, 4))).astype("float32") for view in VIEWS}
    sublabels = rng.integers(0, 4, (2, 6, 6)).astype("int32")
    terms = usrn_losses(logits, sub_logits, PARENTS[sublabels], sublabels, PARENTS, **options)
    return {name: float(value) for name, value in terms.items()}


@pytest.mark.parametrize(
    ("model", "there", "gate"),
    [
        ("I", {"supervised", "supervised_sub"}, None),
        ("II", {"supervised", "supervised_sub", "self_training"}, "closed"),
        ("III", {"supervised", "supervised_sub", "self_training"}, "off"),
        ("IV", {"supervised", "supervised_sub", "self_training", "self_training_sub"}, "off"),
    ],
)
def test_models_of_the_ablation(model, there, gate):
    """Each is the whole objective with its gate, less the terms that it lacks."""
    terms = random_losses(terms=MODELS[model])
    losses = {"supervised", "supervised_sub", "self_training", "self_training_sub"}
    assert losses & set(terms) == there
    assert terms["loss"] == pytest.approx(sum(terms[name] for name in there), rel=1e-6)
    if gate is not None:
        whole = random_losses(gate=gate)
        assert {name: terms[name] for name in there} == pytest.approx({name: whole[name] for name in there})


def test_all_terms_are_the_default():
    assert random_losses() == random_losses(terms=ALL_TERMS)


def test_without_the_mask_f_trains_itself():
    """`closed` is plain self-training: the pixels where F's own softmax exceeds gamma."""
    terms = random_losses(terms=("ost",), threshold=0.9)
    rng = np.random.default_rng(0)
    logits = [(4 * rng.normal(size=(2, 6, 6, 3))).astype("float32") for _ in VIEWS]
    softmax = [np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in logits]
    confident = softmax[1].max(-1) > 0.9
    own = softmax[1].argmax(-1)
    expected = -np.log(np.take_along_axis(softmax[2], own[..., None], -1))[..., 0]
    assert terms["self_training"] == pytest.approx((expected * confident).mean(), rel=1e-4)
    assert (terms["gate_open"], terms["gate_dropped"]) == (0, 0)
    assert "supervised_sub" not in terms


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


@pytest.mark.parametrize(
    ("terms", "fault"),
    [
        ([], "msl or ost"),
        (["sst"], "msl or ost"),
        (["msl", "usr"], "usr needs ost"),
        (["msl", "ost", "egm"], "egm needs usr"),
        (["ost", "sst"], "sst needs msl"),
        (["msl", "msl"], "once"),
        (["mls"], "unknown: mls"),
    ],
)
def test_what_makes_no_objective(terms, fault):
    assert any(fault in line for line in term_faults(terms))


def test_what_makes_one():
    whole = (*MODELS.values(), ("ost",), ("ost", "usr"), tuple(TERMS))
    assert not [fault for terms in whole for fault in term_faults(terms)]


def test_the_gate_of_the_terms():
    assert [gate_of(terms, "stop") for terms in (("ost",), MODELS["IV"], ALL_TERMS)] == [
        "closed",
        "off",
        "stop",
    ]
