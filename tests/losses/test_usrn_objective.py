"""The losses against the official code's values, hand calculations and their own promises."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest

from tests.tools import ROOT, gradients
from usrn_keras.losses import (
    cross_entropy,
    ensemble_pseudo_labels,
    normalised_entropy,
    pseudo_labels,
    unbiased_class_probabilities,
    usrn_losses,
)

pytestmark = pytest.mark.every_backend

VIEWS = ("labelled", "weak", "strong")
TERMS = {
    "supervised": "loss_Ls",
    "supervised_sub": "loss_Ls_sub",
    "self_training": "loss_Lu_reg",
    "self_training_sub": "loss_Lu_sub",
    "loss": "total",
}


def golden(case: int) -> dict[str, np.ndarray]:
    file = np.load(ROOT / "tests/methods/golden/usrn_losses.npz")
    return {key.split("/")[1]: file[key] for key in file.files if key.startswith(f"{case}/")}


def losses_of(case: dict[str, np.ndarray], logits: list) -> dict:
    return usrn_losses(
        dict(zip(VIEWS, logits[:3], strict=True)),
        dict(zip(VIEWS, logits[3:], strict=True)),
        case["labels"].astype("int32"),
        case["sublabels"].astype("int32"),
        case["parents"].astype("int32"),
        threshold=float(case["gamma"]),
        lambda_u=float(case["lambda_u"]),
        lambda_sub=float(case["lambda_sub"]),
    )


def logits_of(case: dict[str, np.ndarray]) -> list[np.ndarray]:
    names = [f"{kind}_{view}" for kind in ("logits", "sub_logits") for view in VIEWS]
    return [case[name].astype("float32") for name in names]


@pytest.mark.parametrize("number", range(5))
def test_values_of_the_official_code(number):
    case = golden(number)
    terms = losses_of(case, logits_of(case))
    for ours, theirs in TERMS.items():
        assert float(terms[ours]) == pytest.approx(float(case[theirs]), abs=1e-5, rel=1e-5), ours


@pytest.mark.parametrize("number", range(5))
def test_gradients_of_the_official_code(number):
    case = golden(number)
    found = gradients(lambda *logits: losses_of(case, list(logits))["loss"], logits_of(case))
    names = [f"grad_{kind}_{view}" for kind in ("logits", "sub_logits") for view in VIEWS]
    for name, gradient in zip(names, found, strict=True):
        scale = max(np.abs(case[name]).max(), 1e-12)
        np.testing.assert_allclose(gradient / scale, case[name] / scale, atol=1e-5, err_msg=name)


def one_pixel(p: list[float], q: list[float], **options) -> dict[str, float]:
    """Terms for one unlabelled pixel whose softmaxes are `p` and `q`, and one ignored labelled pixel."""
    logits = np.log(np.array(p, "float32"))[None, None, None]
    sub_logits = np.log(np.array(q, "float32"))[None, None, None]
    ignored = np.full((1, 1, 1), 255, "int32")
    terms = usrn_losses(
        dict.fromkeys(VIEWS, logits), dict.fromkeys(VIEWS, sub_logits), ignored, ignored - 256,
        np.array([0, 1, 1], "int32"), **options,
    )  # fmt: skip
    return {name: float(value) for name, value in terms.items()}


def test_everything_ignored_and_nothing_confident_is_zero():
    terms = one_pixel([0.5, 0.5], [0.4, 0.3, 0.3])
    assert terms["loss"] == 0


def test_open_gate_drops_a_pixel_where_a_more_confident_subclass_branch_disagrees():
    terms = one_pixel([0.8, 0.2], [0.01, 0.98, 0.01])
    assert terms["gate_open"] == 1
    assert (terms["confident"], terms["gate_dropped"], terms["self_training"]) == (0, 1, 0)


def test_open_gate_keeps_a_pixel_where_both_agree():
    terms = one_pixel([0.2, 0.8], [0.01, 0.98, 0.01])
    assert (terms["confident"], terms["gate_dropped"]) == (1, 0)
    assert terms["self_training"] == pytest.approx(-math.log(0.8), abs=1e-6)


@pytest.mark.parametrize(
    ("gate", "confident", "is_open"), [("fallback", 1, 0), ("stop", 0, 0), ("off", 0, 1)]
)
def test_closed_gate(gate, confident, is_open):
    """F is more confident, and F_sub disagrees."""
    terms = one_pixel([0.99, 0.01], [0.2, 0.5, 0.3], gate=gate)
    assert (terms["confident"], terms["gate_open"]) == (confident, is_open)


def test_without_threshold_the_gate_overrides_the_label():
    logits = np.log(np.array([[[[0.6, 0.4]]]], "float32"))
    sub_logits = np.log(np.array([[[[0.01, 0.98, 0.01]]]], "float32"))
    pseudo = pseudo_labels(logits, sub_logits, np.array([0, 1, 1], "int32"))
    assert int(pseudo["labels"][0, 0, 0]) == 1
    assert float(pseudo["confidence"][0, 0, 0]) == pytest.approx(0.4, abs=1e-6)


def test_the_vote_is_the_mean_of_both_branches():
    sub = 0.96 / (0.96 + 0.02)  # means over subclasses: more subclasses make a class no more probable
    label, confidence = vote([0.3, 0.7], [0.96, 0.02, 0.02])
    assert (label, confidence) == (0, pytest.approx((0.3 + sub) / 2, abs=1e-6))
    assert vote([0.1, 0.9], [0.4, 0.3, 0.3])[0] == 1


def vote(p: list[float], q: list[float]) -> tuple[int, float]:
    """Pseudo label and confidence of one pixel whose softmaxes are `p` and `q`."""
    logits, sub_logits = (np.log(np.array([[[x]]], "float32")) for x in (p, q))
    pseudo = ensemble_pseudo_labels(logits, sub_logits, np.array([0, 1, 1], "int32"))
    assert bool(pseudo["open"][0, 0, 0]) and int(pseudo["own_labels"][0, 0, 0]) == int(np.argmax(p))
    return int(pseudo["labels"][0, 0, 0]), float(pseudo["confidence"][0, 0, 0])


def test_class_probabilities_are_means_over_subclasses():
    rng = np.random.default_rng(0)
    logits, parents = rng.normal(size=(2, 3, 5)).astype("float32"), np.array([0, 2, 2, 2, 0], "int32")
    softmax = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    means = np.zeros((2, 3, 4))
    for c in (0, 2):  # the others have no subclass
        means[..., c] = softmax[..., parents == c].mean(-1)
    found = keras.ops.convert_to_numpy(unbiased_class_probabilities(logits, parents, 4))
    np.testing.assert_allclose(found, means / means.sum(-1, keepdims=True), atol=1e-6)


def test_pseudo_labels_equal_the_product_of_equation_4():
    rng = np.random.default_rng(0)
    p, q = rng.normal(size=(2, 5, 7, 4)) * 2, rng.normal(size=(2, 5, 7, 9)) * 2
    parents = np.array([0, 0, 1, 1, 1, 2, 2, 3, 3], "int32")
    softmax = [np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in (p, q)]
    entropy = [-(s * np.log(s)).sum(-1) / math.log(s.shape[-1]) for s in softmax]
    is_open = entropy[1] <= entropy[0]
    r = softmax[0] * np.where(is_open[..., None], np.eye(4)[parents[q.argmax(-1)]], 1)
    pseudo = pseudo_labels(p.astype("float32"), q.astype("float32"), parents)
    pseudo = {key: np.asarray(keras.ops.convert_to_numpy(value)) for key, value in pseudo.items()}
    np.testing.assert_array_equal(pseudo["open"], is_open)
    np.testing.assert_array_equal(pseudo["labels"], r.argmax(-1))
    np.testing.assert_allclose(pseudo["confidence"], r.max(-1), rtol=1e-5)


def test_weak_view_has_no_gradient():
    rng = np.random.default_rng(1)
    logits = [rng.normal(size=(1, 2, 2, 3)).astype("float32") * 4 for _ in range(3)]
    sub_logits = [rng.normal(size=(1, 2, 2, 4)).astype("float32") * 4 for _ in range(3)]
    labels = np.zeros((1, 2, 2), "int32")
    parents = np.array([0, 0, 1, 2], "int32")

    def loss(*values):
        views = dict(zip(VIEWS, values[:3], strict=True)), dict(zip(VIEWS, values[3:], strict=True))
        return usrn_losses(*views, labels, labels, parents, threshold=0.3)["loss"]

    found = gradients(loss, logits + sub_logits)
    assert not found[1].any() and not found[4].any()
    assert found[0].any() and found[2].any() and found[3].any() and found[5].any()


def test_entropy_is_normalised():
    assert float(normalised_entropy(np.zeros((1, 7), "float32"))[0]) == pytest.approx(1, abs=1e-6)
    assert float(normalised_entropy(np.array([[50.0, 0, 0]], "float32"))[0]) == pytest.approx(0, abs=1e-6)
    assert float(normalised_entropy(np.array([[3.0]], "float32"))[0]) == 0


def test_cross_entropy_over_no_pixel_is_zero():
    logits, labels = np.ones((1, 2, 2, 3), "float32"), np.full((1, 2, 2), 255, "int32")
    assert float(cross_entropy(logits, labels, labels != 255)) == 0


def test_another_value_can_mark_ignored_pixels():
    logits = np.random.default_rng(0).normal(size=(1, 2, 2, 3)).astype("float32")
    views, parents = dict.fromkeys(VIEWS, logits), np.arange(3, dtype="int32")
    labels = np.array([[[0, 1], [2, 77]]], "int32")
    marked = np.where(labels == 77, 255, labels)
    losses = [
        float(usrn_losses(views, views, one, one, parents, ignore_index=mark)["loss"])
        for one, mark in ((labels, 77), (marked, 255))
    ]
    assert losses[0] == losses[1]


def test_labels_beyond_255_subclasses():
    """Sublabel 255 is an ordinary subclass where there are more of them."""
    logits = np.zeros((1, 1, 1, 300), "float32")
    logits[..., 255] = 20
    views = dict.fromkeys(VIEWS, logits)
    sublabels = np.full((1, 1, 1), 255, "int32")
    terms = usrn_losses(views, views, sublabels * 0, sublabels, np.zeros(300, "int32"))
    assert float(terms["supervised_sub"]) < 1e-3
