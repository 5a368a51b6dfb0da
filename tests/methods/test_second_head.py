"""USRN on top of a host: the labels and losses of both heads against plain numpy, and what it must refuse."""

from __future__ import annotations

import numpy as np
import pytest

from tests.methods.check_method import check_method
from tests.methods.handmade import (
    CLASSES,
    PARENTS,
    SUBCLASSES,
    handmade_branches,
    handmade_cutmix_batch,
)
from tests.methods.logit_networks import LogitNetwork
from tests.methods.second_head_oracle import IMAGES, SIZE, drawn, mean_loss, taught, values_of
from usrn_keras.data.views.cutmix_boxes import OneBox, SeveralBoxes
from usrn_keras.errors import RecipeError
from usrn_keras.methods import CPS, FixMatch, Network, SecondHead, stages_of
from usrn_keras.recipe import load_recipe

pytestmark = [
    pytest.mark.every_backend,
    # `keras.metrics.MeanIoU` asks JAX for int64, which it has only with `jax_enable_x64` (Keras 3.15).
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
]

GAMMA, GAMMA_SUB, LAMBDA_SUB = 0.6, 0.5, 0.3


def two_headed(count: int = 1) -> list[Network]:
    return [Network(*handmade_branches()) for _ in range(count)]


def head(**options) -> SecondHead:
    return SecondHead(PARENTS, threshold=GAMMA_SUB, lambda_sub=LAMBDA_SUB, **options)


@pytest.mark.parametrize("gate", ["fallback", "stop", "off"])
def test_fixmatch_with_usrn_is_its_formula(gate):
    """Labels of the weak view and of the donor are pasted alike, for both heads; padding does not count."""
    x, weak, strong, donor, donor_strong = (drawn(seed) for seed in range(5))
    rng = np.random.default_rng(9)
    labels, sublabels = rng.integers(0, CLASSES, (IMAGES, SIZE, SIZE)), None
    sublabels = np.array([0, 2, 3])[labels]
    box, filled = (2, 1, 7, 6), (0, 0, SIZE, SIZE - 1)
    method = FixMatch(two_headed(), threshold=GAMMA, lambda_u=0.7, second_head=head(gate=gate))
    method.networks = [LogitNetwork(CLASSES, [0, 0, 0], SUBCLASSES)]
    terms = values_of(
        method.loss_terms(
            {
                "labelled": x, "weak": weak, "strong": strong, "donor": donor, "donor_strong": donor_strong,
                "labels": labels.astype("int32"), "sublabels": sublabels.astype("int32"),
                "boxes": np.int32([[box]] * IMAGES), "weak_filled": np.int32([filled] * IMAGES),
                "donor_filled": np.int32([(0, 0, SIZE, SIZE)] * IMAGES),
            }
        )
    )  # fmt: skip
    inside = np.zeros((IMAGES, SIZE, SIZE), bool)
    inside[:, box[0] : box[2], box[1] : box[3]] = True
    valid = np.ones_like(inside)
    valid[:, :, SIZE - 1] = False
    valid |= inside
    mixed = np.where(inside[..., None], donor_strong, strong)
    ours, theirs = (taught(logits, gate, "drop") for logits in (weak, donor))
    target = {name: np.where(inside, theirs[name], ours[name]) for name in ours}
    kept = target["may"] & (target["confidence"] >= GAMMA) & valid
    kept_sub = (target["sub_confidence"] > GAMMA_SUB) & valid
    every, pixels = np.ones_like(inside), valid.sum()
    supervised = mean_loss(x[..., :CLASSES], labels, every, every.sum())
    supervised_sub = mean_loss(x[..., CLASSES:], sublabels, every, every.sum())
    learnt = mean_loss(mixed[..., :CLASSES], target["label"], kept, pixels)
    learnt_sub = mean_loss(mixed[..., CLASSES:], target["sublabel"], kept_sub, pixels)
    expected = {
        "supervised": supervised,
        "supervised_sub": supervised_sub,
        "self_training": learnt,
        "self_training_sub": learnt_sub,
        "confident": kept.sum() / pixels,
        "confident_sub": kept_sub.sum() / pixels,
        "gate_open": (target["open"] & valid).sum() / pixels,
        "gate_dropped": ((target["own"] >= GAMMA) & ~kept & valid).sum() / pixels,
        "label_overridden": 0.0,
        "loss": 0.5 * (supervised + LAMBDA_SUB * supervised_sub + 0.7 * (learnt + LAMBDA_SUB * learnt_sub)),
    }
    assert 0 < expected["confident"] < 1 and expected["gate_dropped"] > 0
    assert set(terms) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("on_disagreement", ["drop", "override"])
def test_cps_with_usrn_is_its_formula(on_disagreement):
    """Without a threshold of the host, every label that may teach is learnt, of labelled images too."""
    x1, x2, u1, u2 = (drawn(seed) for seed in range(4))
    labels = np.random.default_rng(9).integers(0, CLASSES, (IMAGES, SIZE, SIZE))
    sublabels = np.array([0, 2, 3])[labels]
    method = CPS(two_headed(2), weight=1.5, second_head=head(on_disagreement=on_disagreement))
    method.networks = [LogitNetwork(CLASSES, [block] * 2, SUBCLASSES) for block in (0, 1)]
    terms = values_of(
        method.loss_terms(
            {
                "labelled": np.concatenate([x1, x2], -1),
                "weak": np.concatenate([u1, u2], -1),
                "labels": labels.astype("int32"),
                "sublabels": sublabels.astype("int32"),
            }
        )
    )
    every, loss = np.ones(labels.shape, bool), 0.0
    for logits in (x1, x2):
        loss += mean_loss(logits[..., :CLASSES], labels, every, every.size)
        loss += LAMBDA_SUB * mean_loss(logits[..., CLASSES:], sublabels, every, every.size)
    for student, teacher in ((x1, x2), (x2, x1), (u1, u2), (u2, u1)):
        target = taught(teacher, "fallback", on_disagreement)
        kept_sub = target["sub_confidence"] > GAMMA_SUB
        cross = mean_loss(student[..., :CLASSES], target["label"], target["may"], every.size)
        cross += LAMBDA_SUB * mean_loss(student[..., CLASSES:], target["sublabel"], kept_sub, every.size)
        loss += 1.5 * cross / 2  # both views have as many pixels
    np.testing.assert_allclose(terms["loss"], loss, rtol=1e-5)
    overridden = taught(u2, "fallback", "override")
    other = overridden["label"] != u2[..., :CLASSES].argmax(-1)
    assert other.any()
    share = other.mean() if on_disagreement == "override" else 0.0
    np.testing.assert_allclose(terms["label_overridden"], share, rtol=1e-5)
    dropped = 0.0 if on_disagreement == "override" else other.mean()
    np.testing.assert_allclose(terms["gate_dropped"], dropped, rtol=1e-5)


def test_one_subclass_per_class_with_equal_heads_changes_no_label():
    """The control K = C: where F_sub says what F says, F learns what it learns without USRN."""
    both = [np.concatenate([logits[..., :CLASSES]] * 2, -1) for logits in (drawn(0), drawn(1))]
    labels = np.zeros((IMAGES, SIZE, SIZE), "int32")
    batch = {"labelled": both[0], "weak": both[1], "labels": labels, "sublabels": labels}
    batch["weak_filled"] = np.int32([(0, 0, SIZE, SIZE)] * IMAGES)
    control = FixMatch(two_headed(), threshold=GAMMA, cutmix=False, second_head=head())
    alone = FixMatch([Network(handmade_branches()[0])], threshold=GAMMA, cutmix=False)
    control.second_head = SecondHead(range(CLASSES))
    control.networks = [LogitNetwork(CLASSES, [0, 0], CLASSES)]
    alone.networks = [LogitNetwork(2 * CLASSES, [0, 0])]
    alone.networks[0].classes = CLASSES
    found, expected = (values_of(method.loss_terms(batch)) for method in (control, alone))
    for name in ("supervised", "self_training", "confident"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, err_msg=name)
    assert found["gate_open"] == 1 and found["gate_dropped"] == 0


def test_contract_of_fixmatch_with_usrn(tmp_path):
    check_method(
        lambda: FixMatch(two_headed(), threshold=0.4, second_head=head()),
        lambda number: handmade_cutmix_batch(number, OneBox()),
        tmp_path,
    )


@pytest.mark.slow
def test_contract_of_cps_with_usrn(tmp_path):
    check_method(
        lambda: CPS(two_headed(2), cutmix=True, second_head=head(on_disagreement="override")),
        lambda number: handmade_cutmix_batch(number, SeveralBoxes()),
        tmp_path,
    )


def test_a_batch_without_sublabels():
    method = FixMatch(two_headed(), second_head=head())
    batch = handmade_cutmix_batch(0, OneBox())
    del batch["sublabels"]
    with pytest.raises(ValueError, match="missing: sublabels"):
        method.batch_of(batch)


def test_networks_must_match_the_second_head():
    with pytest.raises(ValueError, match="network 0 without F_sub"):
        FixMatch([Network(handmade_branches()[0])], second_head=head())
    with pytest.raises(ValueError, match="network 0 with F_sub"):
        FixMatch(two_headed())
    with pytest.raises(ValueError, match="for each of 5 subclasses, received 2"):
        FixMatch(two_headed(), second_head=SecondHead([0, 1]))
    with pytest.raises(ValueError, match="`on_disagreement` must be one of drop, override, received 'keep'"):
        head(on_disagreement="keep")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["training.method=supervised"],
            "training.with_usrn: must be false with training.method = 'supervised'",
        ),
        (["training.method=usrn"], "USRN on top of self_training is training.method = 'usrn'"),
        (["training.method=cps"], "usrn.on_disagreement: required with training.method = 'cps'"),
        (["training.method=fixmatch", "usrn.on_disagreement=override"], "must be 'drop' with the threshold"),
        (["training.method=fixmatch", "usrn.lambda_u=2"], "usrn.lambda_u: not used with training.with_usrn"),
        (["training.method=fixmatch", "usrn.sub_head=centroids"], "'centroids' needs training.start"),
        (
            ["training.method=usrn", "training.with_usrn=false", "usrn.on_disagreement=drop"],
            "usrn.on_disagreement: used only with training.with_usrn = true, received 'drop'",
        ),
    ],
)
def test_recipes_that_contradict_themselves(recipe_file, overrides, expected):
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(recipe_file), ["training.with_usrn=true", *overrides])
    assert any(expected in error for error in caught.value.errors), caught.value.errors


def test_a_low_threshold_of_the_host_asks_for_a_decision(recipe_file):
    asked = ["training.method=fixmatch", "training.with_usrn=true", "fixmatch.threshold=0"]
    with pytest.raises(RecipeError, match="1 error"):
        load_recipe(str(recipe_file), asked)
    recipe = load_recipe(str(recipe_file), [*asked, "usrn.on_disagreement=override"])
    assert recipe.usrn.on_disagreement == "override"
    titles = [stage.title for stage in stages_of(recipe) if stage.kind == "train"]
    assert titles == ["Baseline", "FixMatch + USRN"] and len(stages_of(recipe)) == 3
