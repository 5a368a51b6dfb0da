"""CAC against values of the official code, and what its bank, its start and USRN on top promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops

from tests.methods.build_method import compiled_step
from tests.methods.check_method import check_method
from tests.methods.handmade import (
    CLASSES,
    DECODER,
    IMAGES,
    PARENTS,
    SIZE,
    handmade_branches,
    handmade_pair_batch,
)
from tests.methods.rival_golden import rival_golden
from tests.tools import builds_networks_of_a_recipe, fill, gradients
from usrn_keras.data import load_dataset
from usrn_keras.data.views.crop_pair import overlaps
from usrn_keras.data.views.weak_view import Window
from usrn_keras.losses import pseudo_labels, unlabelled_losses
from usrn_keras.methods import CAC, Network, SecondHead, cac, stages_of
from usrn_keras.methods.feature_bank import FeatureBank
from usrn_keras.networks.projector import projector
from usrn_keras.optimizers import SGD
from usrn_keras.recipe import load_recipe
from usrn_keras.stages import build

pytestmark = [
    pytest.mark.every_backend,
    # `keras.metrics.MeanIoU` asks JAX for int64, which it has only with `jax_enable_x64` (Keras 3.15).
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
]

POSITIONS = (SIZE // 8) ** 2


def make(*, with_usrn: bool = False, **options) -> CAC:
    branch, sub_branch = handmade_branches()
    network = Network(branch, sub_branch) if with_usrn else Network(branch)
    head = {"second_head": SecondHead(PARENTS, threshold=0.3, lambda_sub=0.4)} if with_usrn else {}
    sizes = {"batch_unlabelled": IMAGES, "crop_size": SIZE}
    method = CAC([network], **sizes, **head, **({"threshold": 0.4} | options))
    fill(method.variables)
    return method


def numpy(value: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(value))


def values_of(terms: dict) -> dict[str, float]:
    return {name: float(numpy(value)) for name, value in terms.items()}


# ---- the official code


class FeatureNetwork:
    """Stands for a `Network` whose images are decoder features at stride 4."""

    def __init__(self, kernel: np.ndarray):
        self.kernel = kernel

    def features(self, images: Any, heads: Any, *, pooled: bool) -> dict:
        assert pooled
        return {"F": ops.average_pool(images, 2, strides=2, padding="valid")}

    def classify(self, features: dict) -> dict:
        return {"F": ops.matmul(features["F"], self.kernel)}


def golden_overlaps(golden: dict) -> dict[str, np.ndarray]:
    """`overlap_1`, `overlap_2` and `overlap_valid` of the boxes and flips of two crops in each image."""
    pairs = [
        [
            Window(300, 300, *(100 - box[:2]).tolist(), crop_size=64, flip=bool(flip))
            for box, flip in zip(boxes, flips, strict=True)
        ]
        for boxes, flips in zip(golden["boxes"].astype(int), golden["flips"] > 0, strict=True)
    ]
    return overlaps(*zip(*pairs, strict=True))


class Official:
    """The method at a step of the golden values, its bank filled by the steps before."""

    def __init__(self, step: int):
        every = rival_golden("cac")
        self.steps = [
            every | {k.removeprefix(f"step_{n}/"): v for k, v in every.items()} for n in range(step + 1)
        ]
        self.golden = self.steps[-1]
        temperature, threshold, weight, kept = self.golden["settings_temperature_threshold_weight_steps_kept"]
        options = {"temperature": float(temperature), "threshold": float(threshold), "weight": float(weight)}
        sizes = {"batch_unlabelled": 2, "crop_size": 64, "bank_steps": int(kept)}
        self.method = CAC([Network(handmade_branches()[0])], **options, **sizes)
        self.method.networks = [FeatureNetwork(self.golden["classifier_kernel"])]
        self.method.projector = projector(8, 6)  # half of the channels would be 4
        names = ("project_0_kernel", "project_0_bias", "project_2_kernel", "project_2_bias")
        weights = [self.golden[name] for name in names]
        self.method.projector.set_weights([w[None, None] if w.ndim == 2 else w for w in weights])

    def terms(self, *features: Any) -> dict:
        """The terms of the crops of this step, from features that are given."""
        self.method.bank = FeatureBank(4 * (self.method.bank_steps - 1), 64, 6)
        for golden in self.steps:
            last = golden is self.golden and features
            first, second = features if last else (golden["features_1"], golden["features_2"])
            batch = golden_overlaps(golden) | {"weak": first, "pair": second, "progress": np.float32(0.5)}
            terms, _ = self.method.crops(batch, {})
        return terms


@pytest.mark.parametrize("step", [0, 1])
def test_values_of_the_official_code(step):
    official = Official(step)
    found, golden = values_of(official.terms()), official.golden
    np.testing.assert_allclose(found["loss"], golden["loss_weighted"], rtol=1e-5)
    np.testing.assert_allclose(found["contrast"], golden["loss_12"] + golden["loss_21"], rtol=1e-5)
    masks = golden["mask_12"].sum() + golden["mask_21"].sum()
    np.testing.assert_allclose(found["positives"], masks / len(golden["mask_12"]), rtol=1e-6)


@pytest.mark.parametrize("step", [0, 1])
def test_gradients_of_the_official_code(step):
    official = Official(step)
    arrays = [official.golden["features_1"], official.golden["features_2"]]
    for number, found in enumerate(gradients(lambda *some: official.terms(*some)["loss"], arrays), 1):
        scale = abs(official.golden[f"grad_{number}"]).max()
        np.testing.assert_allclose(found / scale, official.golden[f"grad_{number}"] / scale, atol=1e-5)


def test_gradient_of_the_projector_is_that_of_the_official_code(monkeypatch):
    official = Official(1)
    names = ("project_0_bias", "project_2_kernel", "project_2_bias")
    bias, kernel_2, bias_2 = (ops.convert_to_tensor(official.golden[name]) for name in names)

    def loss(kernel):
        def projected(model, features, training):
            return ops.matmul(ops.relu(ops.matmul(features, kernel) + bias), kernel_2) + bias_2

        monkeypatch.setattr(cac, "run_graph", projected)
        return official.terms()["loss"]

    (found,) = gradients(loss, [official.golden["project_0_kernel"]])
    expected = official.golden["grad_project_0_kernel"]
    np.testing.assert_allclose(found / abs(expected).max(), expected / abs(expected).max(), atol=1e-5)


def test_the_bank_is_that_of_the_official_code():
    """The order within a step is random there."""
    official = Official(1)
    official.terms()
    golden = official.golden
    theirs = np.column_stack([golden["bank_features"], golden["bank_labels"]])[256:]  # of the last step
    ours = np.column_stack(
        [numpy(official.method.bank.features).reshape(-1, 6), numpy(official.method.bank.labels).ravel()]
    )
    ours, theirs = (rows[np.lexsort(rows[:, :2].round(5).T)] for rows in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


# ---- what it promises


def test_the_contrast_starts_after_a_sixteenth_of_the_training():
    found = {}
    for progress in (0.0624, 0.0625):
        method, batch = make(weight=0.7), handmade_pair_batch(0)
        found[progress] = values_of(method.loss_terms(batch | {"progress": np.float32(progress)}))
    before, after = found.values()
    assert before["loss"] == before["supervised"] == after["supervised"]
    assert after["contrast"] > 0.1
    assert after["loss"] == pytest.approx(after["supervised"] + 0.7 * after["contrast"], rel=1e-5)


def test_the_classifier_learns_nothing_from_the_contrast():
    method, batch = make(), handmade_pair_batch(0)
    batch["labels"] = np.full_like(batch["labels"], 255)
    kernels = [part.get_weights()[0] for part in (method.networks[0].F.classifier, method.projector)]
    compiled_step(method, SGD(0.1, coupled_weight_decay=0.0))(batch)
    classifier, own = (part.get_weights()[0] for part in (method.networks[0].F.classifier, method.projector))
    np.testing.assert_array_equal(classifier, kernels[0])
    assert (own != kernels[1]).any()


@pytest.mark.parametrize("bank_steps", [1, 2, 3])
def test_the_bank_keeps_the_features_of_the_last_steps(bank_steps, monkeypatch):
    """The contrast reads `bank_steps` steps, this one last; the places of steps that were not are empty."""
    banks = []

    def recorded(features, positives, labels, weights, bank, bank_labels, *, temperature):
        banks.append((numpy(bank), numpy(bank_labels)))
        return 0.0 * ops.sum(features)

    monkeypatch.setattr(cac, "directional_contrast", recorded)
    method = make(bank_steps=bank_steps)
    for number in range(4):
        method.loss_terms(handmade_pair_batch(number))
    features, labels = zip(*banks, strict=True)
    own = 2 * IMAGES
    assert features[0].shape == (bank_steps * own, POSITIONS, DECODER // 2)
    for number in range(4):
        for ago in range(bank_steps):
            part = slice((bank_steps - 1 - ago) * own, (bank_steps - ago) * own)
            if ago > number:
                assert (labels[number][part] == -1).all()
                continue
            np.testing.assert_array_equal(features[number][part], features[number - ago][-own:])
            np.testing.assert_array_equal(labels[number][part], labels[number - ago][-own:])
    np.testing.assert_allclose(np.linalg.norm(features[0][-own:], axis=-1), 1, rtol=1e-5)
    assert labels[0][-own:].min() >= 0 and labels[0][-own:].max() < CLASSES
    assert (method.bank.features is None) == (bank_steps == 1)


def test_a_crop_without_a_more_confident_one_learns_nothing():
    """Equal crops have equal confidences; their contrast is 0."""
    method, batch = make(), handmade_pair_batch(0)
    every = np.tile(np.arange(POSITIONS, dtype="int32"), (IMAGES, 1))
    same = {"pair": batch["weak"], "pair_strong_parameters": batch["strong_parameters"]}
    same |= {"overlap_1": every, "overlap_2": every, "overlap_valid": every >= 0}
    found = values_of(method.loss_terms(batch | same))
    assert found["contrast"] == found["positives"] == 0
    assert values_of(method.loss_terms(batch))["positives"] > 0


# ---- USRN on top


@pytest.mark.parametrize("options", [{}, {"negatives_by": "gated", "bank_steps": 1}])
def test_contract_with_usrn(options, tmp_path):
    check_method(lambda: make(with_usrn=True, **options), handmade_pair_batch, tmp_path)


def test_with_usrn_the_first_crop_learns_as_in_usrn():
    """Eqs. 4 to 7 at stride 8, next to the contrast and from the first step on."""
    method, batch = make(with_usrn=True, threshold=0.6), handmade_pair_batch(0)
    del batch["strong_parameters"]
    found = values_of(method.loss_terms(batch | {"progress": np.float32(0)}))
    images = ops.convert_to_tensor(np.float32(batch["weak"]))
    logits = method.networks[0].logits(images, ("F", "F_sub"), pooled=True)
    own, sub = ({"weak": logits[head], "strong": logits[head]} for head in ("F", "F_sub"))
    expected = values_of(unlabelled_losses(own, sub, np.array(PARENTS), threshold=0.6, lambda_sub=0.4))
    # There, both branches have one threshold.
    sure = numpy(pseudo_labels(logits["F"], logits["F_sub"], np.array(PARENTS))["sub_confidence"])
    assert found["self_training"] == pytest.approx(expected["self_training"], rel=1e-5)
    assert found["gate_open"] == pytest.approx(expected["gate_open"])
    assert found["confident_sub"] == pytest.approx((sure > 0.3).mean())
    supervised = found["supervised"] + 0.4 * found["supervised_sub"]
    learnt = found["self_training"] + 0.4 * found["self_training_sub"]
    assert found["loss"] == pytest.approx(supervised + learnt, rel=1e-5) and found["contrast"] > 0


@pytest.mark.parametrize("negatives_by", ["F", "gated"])
def test_labels_that_select_the_negatives(negatives_by):
    method, batch = make(with_usrn=True, negatives_by=negatives_by), handmade_pair_batch(3)
    del batch["pair_strong_parameters"], batch["strong_parameters"]
    method.loss_terms(batch)
    for number, name in enumerate(("weak", "pair")):
        images = ops.convert_to_tensor(np.float32(batch[name]))
        found = pseudo_labels(
            *method.networks[0].logits(images, ("F", "F_sub"), pooled=True).values(), np.array(PARENTS)
        )
        own, gated = (numpy(found[key]).reshape(IMAGES, -1) for key in ("own_labels", "labels"))
        assert (own != gated).any()
        kept = numpy(method.bank.labels)[number * IMAGES :][:IMAGES]
        np.testing.assert_array_equal(kept, gated if negatives_by == "gated" else own)


# ---- how it is built


@pytest.mark.parametrize(
    ("networks", "options", "error"),
    [
        (2, {}, "`networks` must be one network, received 2"),
        (1, {"negatives_by": "gated"}, "`negatives_by` must be one of F, received 'gated'"),
    ],
)
def test_refused_arguments(networks, options, error):
    networks = [Network(handmade_branches()[0])] * networks
    with pytest.raises(ValueError, match=error):
        CAC(networks, batch_unlabelled=IMAGES, crop_size=SIZE, **options)


@builds_networks_of_a_recipe
def test_a_recipe_gives_the_sizes_of_the_bank_and_seeds_the_projector(recipe_file):
    kernels = {}
    for seed in (0, 0, 1):
        recipe = load_recipe(
            str(recipe_file), ["training.method=cac", f"training.seed={seed}", "cac.bank_steps=3"]
        )
        method = build.build_method(recipe, stages_of(recipe)[-1], load_dataset(recipe.data))
        crops = 2 * 2 * recipe.training.batch_unlabelled
        channels = recipe.network.decoder_channels
        assert method.bank.features.shape == (crops, (recipe.views.crop_size // 8) ** 2, channels // 2)
        kernel = method.projector.get_weights()[0]
        assert kernel.shape == (1, 1, channels, channels)
        assert seed not in kernels or np.array_equal(kernel, kernels[seed])
        kernels[seed] = kernel
    assert not np.array_equal(kernels[0], kernels[1])
