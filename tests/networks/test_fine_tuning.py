"""Frozen backbones and low-rank adapters: what moves, what is saved, what is exported."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from keras import layers

from tests.methods.build_method import build_method, compiled_step
from tests.methods.check_method import BACKEND, check_method, logits_of, state
from tests.methods.handmade import handmade_batch, handmade_branches
from tests.tools import fill, tiny_branches
from usrn_keras.errors import RecipeError
from usrn_keras.methods import Method, Network
from usrn_keras.networks import build_branches
from usrn_keras.networks.fine_tuning import adapter_of, add_adapters, freeze, without_adapters
from usrn_keras.networks.layer_groups import leaf_layers
from usrn_keras.networks.operations import step_flops
from usrn_keras.optimizers import SGD
from usrn_keras.training import load_checkpoint, save_checkpoint

every_backend = pytest.mark.every_backend
PARTS = ("stem", "tail")


def frozen_method(name: str = "usrn", frozen: str = "backbone") -> Method:
    branches = handmade_branches()
    freeze(branches, frozen)
    return build_method(name, *branches, threshold=0.4)


def adapted_method() -> Method:
    branches = handmade_branches()
    add_adapters(branches, 2, seed=0)
    method = build_method("self_training", *branches, threshold=0.4)
    fill([variable for variable in method.variables if not variable.name.startswith("lora")])
    return method


def arrays(variables) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]


@every_backend
def test_the_contract_of_a_method_with_a_frozen_backbone(tmp_path):
    """Steps, resuming, `fit`, saving and export."""
    check_method(lambda: frozen_method("supervised"), handmade_batch, tmp_path)


@pytest.mark.parametrize("frozen", ["stem", "backbone"])
def test_what_is_frozen_does_not_move_and_has_no_state(frozen):
    method = frozen_method(frozen=frozen)
    fill(method.variables)
    branch = method.branch
    kept = [*branch.stem.variables, *(branch.tail.variables if frozen == "backbone" else ())]
    moving = [*branch.decoder.variables, *(branch.tail.variables if frozen == "stem" else ())]
    before, before_moving = arrays(kept), arrays(moving)
    step = compiled_step(method, SGD(0.1))
    for number in range(2):
        step(handmade_batch(number))
    for old, new in zip(before, arrays(kept), strict=True):
        np.testing.assert_array_equal(old, new)
    assert all((old != new).any() for old, new in zip(before_moving, arrays(moving), strict=True))
    trained = {id(variable) for variable in method.trainable_variables}
    assert not trained & {id(variable) for variable in kept}
    # A momentum for each trained variable, the learning rate is a number, and the count of steps.
    assert len(method.optimizer.variables) == len(trained) + 2


def test_a_frozen_part_runs_in_inference_mode_and_keeps_no_activations():
    method = frozen_method()
    fill(method.variables)
    images = np.float32(handmade_batch(0)["labelled"])
    branch, network = method.branch, method.networks[0]
    low = branch.stem(images, training=False)
    expected = branch.decoder([low, branch.tail(low, training=False)], training=False)
    found = network.features(images, training=False)["F"]
    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (found, expected)), rtol=1e-5, atol=1e-6)
    seen = []
    original = branch.features
    branch.features = lambda low, high, training=None: (
        seen.extend([low, high]) or original(low, high, training)
    )
    network.features(images, training=True)
    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (seen[0], low)), rtol=1e-5, atol=1e-6)
    if BACKEND == "torch":
        assert not any(tensor.requires_grad for tensor in seen)


@every_backend
def test_adapters_alone_are_trained(tmp_path):
    method = adapted_method()
    images = np.float32(handmade_batch(3)["labelled"])
    plain = without_adapters(method.branch.segmenter())
    assert not any(map(adapter_of, leaf_layers(plain)))
    start = logits_of(method, images)
    np.testing.assert_allclose(np.array(plain.predict_on_batch(images)), start, rtol=1e-5, atol=1e-5)
    adapted = [layer for part in PARTS for layer in leaf_layers(getattr(method.branch, part))]
    before = {layer.name: arrays(layer.variables) for layer in adapted}
    step = compiled_step(method, SGD(0.1))
    for number in range(2):
        step(handmade_batch(number))
    save_checkpoint(tmp_path / "checkpoint.npz", method, 2)
    after = state(method)
    step(handmade_batch(2))
    load_checkpoint(tmp_path / "checkpoint.npz", method)  # the adapters too
    for old, new in zip(after, state(method), strict=True):
        np.testing.assert_array_equal(old, new)
    assert any(map(adapter_of, adapted))
    for layer in adapted:
        trained = {id(variable) for variable in adapter_of(layer)}
        trained |= {id(layer.bias)} if trained and layer.use_bias else set()
        for old, variable in zip(before[layer.name], layer.variables, strict=True):
            moved = (old != keras.ops.convert_to_numpy(variable.value)).any()
            assert moved == (id(variable) in trained), variable.path
    # In files the adapters are part of the kernels.
    end = logits_of(method, images)
    assert np.abs(end - start).max() > 1e-3
    plain = without_adapters(method.branch.segmenter())
    np.testing.assert_allclose(np.array(plain.predict_on_batch(images)), end, rtol=1e-4, atol=1e-4)


def test_a_kernel_with_an_adapter_is_the_sum():
    method = adapted_method()
    layer = next(one for one in leaf_layers(method.branch.tail) if adapter_of(one))
    a, b = adapter_of(layer)
    b.assign(np.random.default_rng(0).normal(size=b.shape).astype("float32"))
    kernel = arrays([next(v for v in layer.variables if v.name == "kernel")])[0]
    expected = kernel + arrays([a])[0] @ arrays([b])[0]
    copy = without_adapters(method.branch.tail)
    found = next(one for one in leaf_layers(copy) if one.name == layer.name)
    np.testing.assert_allclose(arrays([found.kernel])[0], expected, rtol=1e-5, atol=1e-6)


def test_an_adapted_method_is_saved_loaded_and_trained_further(tmp_path):
    method = adapted_method()
    step = compiled_step(method, SGD(0.1))
    step(handmade_batch(0))
    images = np.float32(handmade_batch(3)["labelled"])
    method.save(tmp_path / "method.keras")
    again = keras.saving.load_model(tmp_path / "method.keras")
    assert json.dumps(again.get_config()) == json.dumps(method.get_config())  # tuples come back as lists
    assert len(again.trainable_variables) == len(method.trainable_variables)
    np.testing.assert_allclose(logits_of(again, images), logits_of(method, images), rtol=1e-4, atol=1e-5)
    second = [
        pair
        for part in PARTS
        for one in leaf_layers(getattr(again.branch, part))
        if (pair := adapter_of(one))
    ]
    again.fit(((handmade_batch(n),) for n in range(1)), steps_per_epoch=1, shuffle=False, verbose=0)
    assert second and all(np.abs(arrays(pair)[1]).max() > 0 for pair in second)


def test_copies_of_a_part_have_equal_adapters_and_a_seed_gives_them():
    first, second = (tiny_branches(seed=3, frozen="backbone", lora_rank=2) for _ in range(2))
    found = [arrays(v for v in branch.tail.variables if "lora" in v.name) for branch in (*first, *second)]
    assert first[0].tail is not first[1].tail and len(found[0]) > 4
    for one in found[1:]:
        for ours, theirs in zip(found[0], one, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_what_is_frozen_is_shared():
    branch, sub_branch = tiny_branches(frozen="backbone", sharing="none")
    assert branch.stem is sub_branch.stem and branch.tail is sub_branch.tail
    branch, sub_branch = tiny_branches(frozen="stem", sharing="none")
    assert branch.stem is sub_branch.stem and branch.tail is not sub_branch.tail


def test_a_frozen_part_costs_no_backward_pass():
    whole, frozen = (Network(tiny_branches(frozen=one)[0]) for one in ("none", "backbone"))
    flops = [
        step_flops(build_method("supervised", network.F, None), 1, 0, 64, 64)["labelled"]
        for network in (whole, frozen)
    ]
    backbone = sum(
        step_flops(build_method("supervised", network.F, None), 0, 0, 64, 64)["labelled"]
        for network in (whole, frozen)
    )
    assert backbone == 0 and flops[1] < flops[0] < 3 * flops[1]


def depthwise_backbone() -> keras.Model:
    images = x = keras.Input((None, None, 3))
    for _ in range(4):
        x = layers.DepthwiseConv2D(3, 2, padding="same")(x)
    return keras.Model(images, x, name="depthwise")


def test_errors():
    small = {"classes": 3, "weights": "none", "width": 0.25}
    with pytest.raises(
        RecipeError, match=r"network\.frozen: must be one of none, stem, backbone, received 'tail'"
    ):
        build_branches("keras/mobilenet", frozen="tail", **small)
    with pytest.raises(RecipeError, match=r"network\.lora_rank: needs network\.frozen = 'backbone'"):
        build_branches("keras/mobilenet", frozen="stem", lora_rank=2, **small)
    with pytest.raises(RecipeError, match="no layer of the backbone can have low-rank adapters"):
        build_branches(depthwise_backbone(), classes=3, frozen="backbone", lora_rank=2)
