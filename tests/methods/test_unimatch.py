"""UniMatch against values of the official code, its formula with USRN on top, and what its parts promise."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from tests.methods.build_method import build_method
from tests.methods.check_method import check_method
from tests.methods.handmade import (
    CLASSES,
    PARENTS,
    SUBCLASSES,
    handmade_branches,
    handmade_cutmix_batch,
)
from tests.methods.logit_networks import LogitNetwork, box_of
from tests.methods.rival_golden import rival_golden
from tests.methods.second_head_oracle import IMAGES, SIZE, drawn, mean_loss, taught, values_of
from tests.tools import fill, gradients
from usrn_keras.data.views.cutmix_boxes import OneBox
from usrn_keras.methods import Network, SecondHead, UniMatch

pytestmark = [
    pytest.mark.every_backend,
    # `keras.metrics.MeanIoU` asks JAX for int64, which it has only with `jax_enable_x64` (Keras 3.15).
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
]

CHANNELS = 5  # of the golden logits
NAMES = ("x", "w", "fp", "s1", "s2")


def golden_terms(golden: dict, threshold: float, x, w, fp, s1, s2) -> dict:
    """Passes: the donor; `[x, w]`, and their perturbed features; both strong views."""
    method = UniMatch([Network(handmade_branches()[0])], threshold=threshold)
    method.networks = [LogitNetwork(CHANNELS, [0, 0, 1, 0])]
    batch = {
        "labelled": ops.concatenate([x, ops.zeros_like(x)], axis=-1),
        "weak": ops.concatenate([w, fp], axis=-1),
        "strong": s1, "strong_2": s2, "donor_strong": s1, "donor_strong_2": s2,
        "donor": golden["logits_w_mix"],
        "labels": golden["labels"].astype("int32"),
        "boxes": np.int32([[box_of(mask)] for mask in golden["box_1"]]),
        "boxes_2": np.int32([[box_of(mask)] for mask in golden["box_2"]]),
        "weak_filled": np.int32([box_of(padding == 0) for padding in golden["padding"]]),
        "donor_filled": np.int32([box_of(padding == 0) for padding in golden["padding_mix"]]),
    }  # fmt: skip
    return method.loss_terms(batch)


@pytest.mark.parametrize("threshold", [0.95, 0.0])
def test_values_and_gradients_of_the_official_code(threshold):
    golden = rival_golden("unimatch")
    start = f"threshold_{threshold:g}/"
    values = {name.removeprefix(start): golden[name] for name in golden if name.startswith(start)}
    logits = [golden[f"logits_{name}"] for name in NAMES]
    terms = values_of(golden_terms(golden, threshold, *logits))
    found = [terms[name] for name in ("supervised", "self_training", "perturbed", "loss")]
    both = (values["loss_u_s1"] + values["loss_u_s2"]) / 2
    expected = [values["loss_x"], both, values["loss_u_w_fp"], values["loss"]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    loss = gradients(lambda *logits: golden_terms(golden, threshold, *logits)["loss"], logits)
    for name, found in zip(NAMES, loss, strict=True):
        expected = values[f"grad_{name}"]
        assert (np.abs(expected).max() > 0) == (name != "w")
        scale = np.abs(expected).max() or 1.0
        np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5, err_msg=name)


def test_unimatch_with_usrn_is_its_formula():
    """Both heads learn all three views; each strong view has boxes of its own, the perturbed view none."""
    gamma, gamma_sub, lambda_sub, lambda_u = 0.6, 0.5, 0.3, 0.7
    x, weak, fp, donor = (drawn(seed) for seed in range(4))
    strong = {1: (drawn(4), drawn(5)), 2: (drawn(6), drawn(7))}
    boxes = {1: (2, 1, 7, 6), 2: (0, 3, 4, 8)}
    labels = np.random.default_rng(9).integers(0, CLASSES, (IMAGES, SIZE, SIZE))
    sublabels = np.array([0, 2, 3])[labels]
    head = SecondHead(PARENTS, threshold=gamma_sub, lambda_sub=lambda_sub)
    method = UniMatch([Network(*handmade_branches())], threshold=gamma, lambda_u=lambda_u, second_head=head)
    method.networks = [LogitNetwork(CLASSES, [0, 0, 1, 0], SUBCLASSES)]
    terms = values_of(
        method.loss_terms(
            {
                "labelled": np.concatenate([x, x], -1), "weak": np.concatenate([weak, fp], -1),
                "donor": donor,
                "strong": strong[1][0], "donor_strong": strong[1][1],
                "strong_2": strong[2][0], "donor_strong_2": strong[2][1],
                "labels": labels.astype("int32"), "sublabels": sublabels.astype("int32"),
                "boxes": np.int32([[boxes[1]]] * IMAGES), "boxes_2": np.int32([[boxes[2]]] * IMAGES),
                "weak_filled": np.int32([(0, 0, SIZE, SIZE - 1)] * IMAGES),
                "donor_filled": np.int32([(0, 0, SIZE, SIZE)] * IMAGES),
            }
        )
    )  # fmt: skip
    ours, theirs = (taught(logits, "fallback", "drop") for logits in (weak, donor))

    def learnt(logits: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """Losses of F and of F_sub, and the share of the pixels that F learns."""
        valid = np.ones_like(inside)
        valid[:, :, SIZE - 1] = False
        valid |= inside
        target = {name: np.where(inside, theirs[name], ours[name]) for name in ours}
        kept = target["may"] & (target["confidence"] >= gamma) & valid
        kept_sub = (target["sub_confidence"] > gamma_sub) & valid
        loss = mean_loss(logits[..., :CLASSES], target["label"], kept, valid.sum())
        sub = mean_loss(logits[..., CLASSES:], target["sublabel"], kept_sub, valid.sum())
        return np.array([loss, sub, kept.sum() / valid.sum()])

    mixed = []
    for number, (view, donor_view) in strong.items():
        top, left, bottom, right = boxes[number]
        inside = np.zeros((IMAGES, SIZE, SIZE), bool)
        inside[:, top:bottom, left:right] = True
        mixed.append(learnt(np.where(inside[..., None], donor_view, view), inside))
    perturbed = learnt(fp, np.zeros((IMAGES, SIZE, SIZE), bool))
    every = np.ones(labels.shape, bool)
    supervised = mean_loss(x[..., :CLASSES], labels, every, every.size)
    supervised_sub = mean_loss(x[..., CLASSES:], sublabels, every, every.size)
    of_both, sub_of_both, share = (mixed[0] + mixed[1]) / 2
    unlabelled = of_both / 2 + perturbed[0] / 2 + lambda_sub * (sub_of_both / 2 + perturbed[1] / 2)
    expected = {
        "supervised": supervised,
        "supervised_sub": supervised_sub,
        "self_training": of_both,
        "self_training_sub": sub_of_both,
        "perturbed": perturbed[0],
        "perturbed_sub": perturbed[1],
        "confident": share,
        "loss": 0.5 * (supervised + lambda_sub * supervised_sub + lambda_u * unlabelled),
    }
    assert 0 < share < 1 and mixed[0][0] != pytest.approx(mixed[1][0])
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-5, err_msg=name)


def test_contract_with_usrn(tmp_path):
    check_method(
        lambda: UniMatch([Network(*handmade_branches())], threshold=0.4, second_head=SecondHead(PARENTS)),
        lambda number: handmade_cutmix_batch(number, OneBox()),
        tmp_path,
    )


def test_the_perturbed_view_lacks_whole_channels_drawn_for_each_map_and_step():
    method = build_method("unimatch", *handmade_branches())
    ones = ops.ones((8, 3, 5, 64))
    drawn = [ops.convert_to_numpy(method.drop_channels(ones, training=True)) for _ in range(3)]
    for one in drawn:
        assert set(np.unique(one)) == {0.0, 2.0}
        np.testing.assert_array_equal(one, np.broadcast_to(one[:, :1, :1], one.shape))
        assert one.mean() == pytest.approx(1, abs=0.15)
        assert len({image.tobytes() for image in one}) == 8
    assert len({one.tobytes() for one in drawn}) == 3


def test_without_dropout_the_perturbed_view_is_the_weak_view():
    """Then every view is the weak view of its own batch, and all of its labels are its own."""
    method = UniMatch([Network(handmade_branches()[0])], threshold=0.0, cutmix=False, feature_dropout=0.0)
    fill(method.variables)
    batch = handmade_cutmix_batch(0, OneBox())
    terms = values_of(method.loss_terms(batch))
    logits = method.networks[0].logits(
        ops.concatenate([ops.cast(batch[name], "float32") for name in ("labelled", "weak")])
    )["F"]
    del batch["labelled_parameters"]
    again = values_of(method.loss_terms(batch))
    valid = np.zeros(batch["labels"].shape, bool)
    for mask, (top, left, bottom, right) in zip(valid, batch["weak_filled"], strict=True):
        mask[top:bottom, left:right] = True
    full = ops.convert_to_numpy(method.upsample(logits[len(batch["labelled"]) :]))
    expected = mean_loss(full, full.argmax(-1), valid, valid.sum())
    assert again["perturbed"] == pytest.approx(expected, rel=1e-4) != terms["perturbed"]


def test_each_strong_view_shows_the_donor_in_its_own_boxes(monkeypatch):
    method, batch = build_method("unimatch", *handmade_branches()), handmade_cutmix_batch(0, OneBox(1.0))
    seen, logits = [], Network.logits

    def recorded(network, images, *arguments, **options):
        seen.append(ops.convert_to_numpy(images))
        return logits(network, images, *arguments, **options)

    monkeypatch.setattr(Network, "logits", recorded)
    for name in [name for name in batch if "strong" in name]:
        del batch[name]
    method.loss_terms(batch)
    expected = np.float32(np.concatenate([batch["weak"]] * 2))
    for place, name in enumerate(("boxes", "boxes_2")):
        for number, ((top, left, bottom, right),) in enumerate(batch[name]):
            view = expected[place * len(batch["weak"]) + number]
            view[top:bottom, left:right] = batch["donor"][number, top:bottom, left:right]
    np.testing.assert_array_equal(seen[2], expected)
    assert not np.array_equal(batch["boxes"], batch["boxes_2"])


def test_padding_neither_learns_nor_counts():
    method, batch = build_method("unimatch", *handmade_branches()), handmade_cutmix_batch(0, OneBox())
    fill(method.variables)
    nothing = {name: np.zeros_like(batch[name]) for name in ("weak_filled", "donor_filled")}
    terms = values_of(method.loss_terms(batch | nothing))
    assert terms["self_training"] == terms["perturbed"] == terms["confident"] == 0


def test_a_method_without_cutmix_reads_no_donor():
    method = UniMatch([Network(handmade_branches()[0])], cutmix=False)
    fill(method.variables)
    batch = handmade_cutmix_batch(0, OneBox())
    alone = {name: value for name, value in batch.items() if not name.startswith(("donor", "boxes"))}
    assert values_of(method.loss_terms(alone)) and method.batch_of(alone) is alone
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(method))
    assert again.inputs == method.inputs and again.inputs.boxes_by_name == {}
