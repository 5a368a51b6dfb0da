"""AugSeg against its formula in numpy, with and without USRN on top, its teacher, and its mix."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from tests.methods.build_method import compiled_step
from tests.methods.check_method import check_method
from tests.methods.handmade import (
    CLASSES,
    PARENTS,
    SUBCLASSES,
    handmade_branches,
    handmade_cutmix_batch,
    second_branch,
)
from tests.methods.logit_networks import LogitNetwork
from tests.methods.second_head_oracle import IMAGES, SIZE, drawn, mean_loss, softmax, taught, values_of
from tests.tools import builds_networks_of_a_recipe, fill
from usrn_keras.data import load_dataset
from usrn_keras.data.views.cutmix_boxes import BetaBox
from usrn_keras.methods import AugSeg, Network, SecondHead, stages_of
from usrn_keras.optimizers import SGD
from usrn_keras.recipe import load_recipe
from usrn_keras.stages import build

pytestmark = [
    pytest.mark.every_backend,
    # `keras.metrics.MeanIoU` asks JAX for int64, which it has only with `jax_enable_x64` (Keras 3.15).
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
]

GAMMA, GAMMA_SUB, LAMBDA_SUB, LAMBDA_U = 0.6, 0.5, 0.3, 0.7


def make(**options) -> AugSeg:
    return AugSeg([Network(handmade_branches()[0]), Network(second_branch())], **options)


def weights(method: AugSeg, number: int) -> list[np.ndarray]:
    """Weights and statistics of student or teacher, without the state of dropout."""
    variables = [v for v in method.networks[number].F.variables if "float" in v.dtype]
    return [np.array(ops.convert_to_numpy(variable.value)) for variable in variables]


def official_mix(images: dict, masks: dict, boxes, boxes_2, order, uncertain) -> dict:
    """`cut_mix_label_adaptive` of the official code, image by image: masks first, then the images."""
    helped = {name: value.copy() for name, value in images.items()}
    mixed = {name: value.copy() for name, value in images.items()}
    for i in range(len(order)):
        if uncertain[i]:
            top, left, bottom, right = boxes_2[i, 0]
            for name in images:
                helped[name][i, top:bottom, left:right] = masks[name][order[i], top:bottom, left:right]
    for i in range(len(order)):
        top, left, bottom, right = boxes[i, 0]
        for name in images:
            mixed[name][i, top:bottom, left:right] = helped[name][order[i], top:bottom, left:right]
    return mixed


@pytest.mark.parametrize("with_usrn", [False, True])
@pytest.mark.parametrize("threshold", [GAMMA, 0.0])
def test_the_loss_is_its_formula(with_usrn, threshold):
    """Each network shows its own block of the images as logits, and the mix pastes logits like images."""
    x, weak, strong = (drawn(seed) for seed in range(3))
    weak[1] *= 4.0  # an image that the teacher is more certain of
    rng = np.random.default_rng(9)
    labels = rng.integers(0, CLASSES, (IMAGES, SIZE, SIZE))
    sublabels = np.array([0, 2, 3])[labels]
    unknown = rng.random(labels.shape) < 0.2
    labels, sublabels = np.where(unknown, 255, labels), np.where(unknown, -1, sublabels)
    boxes, boxes_2 = (np.int32([[(2, 1, 7, 6)], [(0, 3, 4, 8)]]), np.int32([[(1, 0, 8, 4)], [(3, 3, 8, 8)]]))
    head = SecondHead(PARENTS, threshold=GAMMA_SUB, lambda_sub=LAMBDA_SUB) if with_usrn else None
    networks = [Network(*handmade_branches()[: 2 if with_usrn else 1]) for _ in range(2)]
    method = AugSeg(networks, threshold=threshold, lambda_u=LAMBDA_U, second_head=head)
    # The student's block is the first, the teacher's the second.
    width = {"classes": CLASSES, "subclasses": SUBCLASSES}
    method.networks = [LogitNetwork(shown=[0], **width), LogitNetwork(shown=[1], **width)]
    p = softmax(weak[..., :CLASSES])
    entropy = -(p * np.log(p)).sum(-1) / np.log(CLASSES)
    certainty = ((1 - entropy) * p.max(-1)).mean((1, 2))
    assert certainty[0] < 0.5 < certainty[1] - 0.05
    terms = values_of(
        method.loss_terms(
            {
                "labelled": np.concatenate([x, x], -1), "weak": np.concatenate([strong, weak], -1),
                "strong": np.concatenate([strong, weak], -1), "labels": labels.astype("int32"),
                "sublabels": sublabels.astype("int32"), "boxes": boxes, "boxes_2": boxes_2,
                "draws": np.float32([[0.7, 0.5], [0.2, 0.5]]),
            }
        )
    )  # fmt: skip
    target = taught(weak, "fallback", "drop")
    if not with_usrn:
        target = {"label": p.argmax(-1), "confidence": p.max(-1), "may": np.ones_like(unknown)}
    masks = {
        "label": np.where(unknown, 0, labels), "confidence": np.where(unknown, -1.0, 1.0), "may": ~unknown,
        "sublabel": np.where(unknown, 0, sublabels), "sub_confidence": np.where(unknown, -1.0, 1.0),
    }  # fmt: skip
    names = [name for name in masks if name in target]
    images = {"logits": strong, **{name: target[name] for name in names}}
    masks = {"logits": x, **{name: masks[name] for name in names}}
    mixed = official_mix(images, masks, boxes, boxes_2, order=[1, 0], uncertain=certainty < 0.5)
    kept, every = mixed["may"] & (mixed["confidence"] >= threshold), labels.size
    supervised = mean_loss(x[..., :CLASSES], np.where(unknown, 0, labels), ~unknown, (~unknown).sum())
    learnt = mean_loss(mixed["logits"][..., :CLASSES], mixed["label"], kept, every)
    expected = {
        "supervised": supervised,
        "self_training": learnt,
        "confident": kept.mean(),
        "loss": supervised + LAMBDA_U * learnt,
    }
    if with_usrn:
        kept_sub = mixed["sub_confidence"] > GAMMA_SUB
        sub = mean_loss(x[..., CLASSES:], np.where(unknown, 0, sublabels), ~unknown, (~unknown).sum())
        learnt_sub = mean_loss(mixed["logits"][..., CLASSES:], mixed["sublabel"], kept_sub, every)
        expected |= {"supervised_sub": sub, "self_training_sub": learnt_sub, "confident_sub": kept_sub.mean()}
        expected["loss"] += LAMBDA_SUB * (sub + LAMBDA_U * learnt_sub)
    assert 0 < expected["confident"] < 1
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-5, err_msg=name)


def test_contract_with_usrn(tmp_path):
    def two_headed() -> AugSeg:
        networks = [Network(*handmade_branches()) for _ in range(2)]
        return AugSeg(networks, threshold=0.4, second_head=SecondHead(PARENTS))

    check_method(two_headed, lambda number: handmade_cutmix_batch(number, BetaBox(4, 4)), tmp_path)


def test_the_teacher_is_the_mean_of_the_weights_of_the_student():
    """The student itself in two steps, then the mean of all so far, then by `decay`; statistics too."""
    method = make(decay=0.6)
    fill(method.networks[0].F.variables)
    step = compiled_step(method, SGD(0.05))
    states = [weights(method, 0)]
    for number in range(5):
        step(handmade_cutmix_batch(number, BetaBox(4, 4)))
        teacher = weights(method, 1)
        if number == 0:
            expected = states[0]
        else:
            share = min(1 - 1 / number, 0.6)
            expected = [
                share * old + (1 - share) * new for old, new in zip(expected, states[number], strict=True)
            ]
        for found, value in zip(teacher, expected, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)
        states.append(weights(method, 0))
    changed = [(first != last).any() for first, last in zip(states[0], states[-1], strict=True)]
    assert all(changed)  # moving statistics too


def test_the_teacher_is_evaluated_and_not_trained():
    method = make()
    assert method.inference_network is method.networks[1].F
    trained = {id(variable) for variable in method.trainable_variables}
    assert trained == {id(variable) for variable in method.networks[0].trainable_variables}
    assert not method.networks[1].trainable_variables and not method.networks[1].F.backbone_variables()
    images = np.float32(handmade_cutmix_batch(0, BetaBox(4, 4))["labelled"])
    fill(method.networks[1].F.variables)
    expected = method.upsample(method.networks[1].F(images, training=False))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(method(images, training=False)), ops.convert_to_numpy(expected)
    )


def test_the_teacher_starts_as_the_student():
    method = make()
    for ours, theirs in zip(weights(method, 0), weights(method, 1), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@builds_networks_of_a_recipe
@pytest.mark.parametrize("start", ["imagenet", "baseline"])
def test_student_and_teacher_of_a_recipe_are_equal(recipe_file, start):
    recipe = load_recipe(str(recipe_file), ["training.method=augseg", f"training.start={start}"])
    method = build.build_method(recipe, stages_of(recipe)[-1], load_dataset(recipe.data))
    if start == "baseline":
        config = keras.saving.serialize_keras_object(method.networks[0].F)
        baseline = keras.saving.deserialize_keras_object(config)
        fill(baseline.variables, seed=5)
        method.start_from(build.Start(baseline, None))
        kernels = [branch.classifier.get_weights()[0] for branch in (method.networks[1].F, baseline)]
        np.testing.assert_array_equal(*kernels)
    for ours, theirs in zip(weights(method, 0), weights(method, 1), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_batches_of_different_sizes():
    """Three unlabelled images take masks from two labelled ones; two take none from the third."""
    method = make(threshold=0.0)
    fill(method.variables)
    batch = handmade_cutmix_batch(0, BetaBox(4, 4))
    batch["draws"][:, 1] = 1.0  # every image is helped
    fewer = batch | {name: batch[name][:2] for name in ("labelled", "labels", "labelled_parameters")}
    assert np.isfinite(list(values_of(method.loss_terms(fewer)).values())).all()
    names = [name for name in batch if name.startswith(("weak", "strong", "boxes", "draws"))]
    fewer = batch | {name: batch[name][:2] for name in names}
    assert np.isfinite(list(values_of(method.loss_terms(fewer)).values())).all()


def test_two_networks_are_needed():
    with pytest.raises(ValueError, match="`networks` must be student and teacher, received 1 networks"):
        AugSeg([Network(handmade_branches()[0])])
