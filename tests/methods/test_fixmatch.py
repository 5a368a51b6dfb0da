"""FixMatch against values of UniMatch's official code, and what its parts promise."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.methods.build_method import build_method
from tests.methods.handmade import CLASSES, handmade_branches, handmade_cutmix_batch
from tests.methods.logit_networks import LogitNetwork, box_of
from tests.methods.rival_golden import rival_golden
from tests.tools import fill, gradients
from usrn_keras.data.views.cutmix_boxes import OneBox
from usrn_keras.methods import FixMatch, Network

pytestmark = pytest.mark.every_backend

CHANNELS = 5  # of the golden logits


def golden_terms(golden: dict, threshold: float, logits: dict) -> dict:
    """FixMatch's terms; the donor is labelled first, then `[x, w]` is one pass, then the strong view."""
    method = FixMatch([Network(handmade_branches()[0])], threshold=threshold, lambda_u=0.25)
    method.networks = [LogitNetwork(CHANNELS, [0, 0, 0])]
    batch = {
        "labelled": logits["x"], "weak": golden["logits_w"], "strong": logits["s1"],
        "donor": golden["logits_w_mix"], "donor_strong": logits["s1"],
        "labels": golden["labels"].astype("int32"),
        "boxes": np.int32([[box_of(mask)] for mask in golden["box_1"]]),
        "weak_filled": np.int32([box_of(padding == 0) for padding in golden["padding"]]),
        "donor_filled": np.int32([box_of(padding == 0) for padding in golden["padding_mix"]]),
    }  # fmt: skip
    return method.loss_terms(batch)


@pytest.mark.parametrize("threshold", [0.95, 0.0])
def test_values_and_gradients_of_the_official_code(threshold):
    """UniMatch's terms of x and s1: its objective has 1/2 (CE(x) + U(s1) / 4 + ...)."""
    golden = rival_golden("unimatch")
    logits = {name: golden[f"logits_{name}"] for name in ("x", "s1")}
    values = {name: golden[f"threshold_{threshold:g}/{name}"] for name in ("loss_x", "loss_u_s1")}
    terms = values_of(golden_terms(golden, threshold, logits))
    total = (values["loss_x"] + values["loss_u_s1"] / 4) / 2
    found = [terms[name] for name in ("supervised", "self_training", "loss")]
    np.testing.assert_allclose(found, [values["loss_x"], values["loss_u_s1"], total], rtol=1e-5)

    def loss(x, s1):
        return golden_terms(golden, threshold, {"x": x, "s1": s1})["loss"]

    for name, found in zip(logits, gradients(loss, list(logits.values())), strict=True):
        expected = golden[f"threshold_{threshold:g}/grad_{name}"]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5, err_msg=name)


def values_of(terms: dict) -> dict[str, float]:
    return {name: float(keras.ops.convert_to_numpy(value)) for name, value in terms.items()}


def filled_method(**options) -> FixMatch:
    method = build_method("fixmatch", *handmade_branches(), threshold=0.4, **options)
    fill(method.variables)
    return method


def test_padding_neither_learns_nor_counts():
    """Views of padding alone have a loss of 0, and a share of padding leaves the share of the rest."""
    method, batch = filled_method(), handmade_cutmix_batch(0, OneBox())
    nothing = {name: np.zeros_like(batch[name]) for name in ("weak_filled", "donor_filled")}
    terms = values_of(method.loss_terms(batch | nothing))
    assert terms["self_training"] == terms["confident"] == 0
    method._threshold = 0.0
    assert values_of(method.loss_terms(batch))["confident"] == pytest.approx(1)


def test_the_mixed_view_shows_the_donor_in_its_boxes(monkeypatch):
    method, batch = filled_method(), handmade_cutmix_batch(0, OneBox(1.0))
    seen, logits = [], Network.logits

    def recorded(network, images, *arguments, **options):
        seen.append(keras.ops.convert_to_numpy(images))
        return logits(network, images, *arguments, **options)

    monkeypatch.setattr(Network, "logits", recorded)
    del batch["strong_parameters"], batch["donor_strong_parameters"]
    method.loss_terms(batch)
    for mixed, weak, donor, ((top, left, bottom, right),) in zip(
        seen[2], batch["weak"], batch["donor"], batch["boxes"], strict=True
    ):
        expected = np.float32(weak)
        expected[top:bottom, left:right] = donor[top:bottom, left:right]
        np.testing.assert_array_equal(mixed, expected)


def test_a_threshold_of_one_keeps_no_pixel():
    method = filled_method()
    method._threshold = 1.0
    assert values_of(method.loss_terms(handmade_cutmix_batch(0, OneBox())))["confident"] == 0


def test_pseudo_labels_of_the_diagnosis_are_those_of_the_centres():
    """At stride 8 they equal what the full-size labels are at the middle of four pixels."""
    method, batch = filled_method(), handmade_cutmix_batch(3, OneBox())
    images = np.float32(batch["weak"])
    found = keras.ops.convert_to_numpy(method.pseudo_labels(keras.ops.convert_to_tensor(images))["labels"])
    full = keras.ops.convert_to_numpy(method(images, training=False))
    middle = sum(full[:, i::8, j::8] for i in (3, 4) for j in (3, 4)) / 4
    assert (found == middle.argmax(-1)).mean() > 0.99 and full.shape[-1] == CLASSES
