"""Groups of layers by depth, to which `training.layer_decay` gives a learning rate each."""

from __future__ import annotations

import keras
from keras import layers

from usrn_keras.networks.layer_groups import groups_by_depth, leaf_layers


def chain(count: int, channels: int = 2) -> keras.Model:
    """Convolutions without bias, each followed by a batch normalisation."""
    images = x = keras.Input((None, None, channels))
    for number in range(count):
        x = layers.Conv2D(channels, 1, use_bias=False, name=f"conv{number}")(x)
        x = layers.BatchNormalization(name=f"bn{number}")(x)
    return keras.Model(images, x)


def names(group: list[keras.Variable]) -> list[str]:
    return sorted({variable.path.split("/")[-2] for variable in group})


def test_groups_have_equal_numbers_of_kernels_from_the_deepest():
    groups = groups_by_depth([chain(24)])
    assert len(groups) == 12
    assert names(groups[0]) == ["bn22", "bn23", "conv22", "conv23"]
    assert names(groups[11]) == ["bn0", "bn1", "conv0", "conv1"]


def test_parts_are_consecutive_and_nested_models_are_in_their_place():
    stem, tail = chain(2), chain(2)
    images = keras.Input((None, None, 2))
    outer = keras.Model(images, layers.Conv2D(2, 1, name="last")(tail(stem(images))))
    assert [layer.name for layer in leaf_layers(outer) if layer.name.startswith(("conv", "last"))] == [
        "conv0", "conv1", "conv0", "conv1", "last",
    ]  # fmt: skip
    together, nested = groups_by_depth([stem, tail], groups=2), groups_by_depth([outer], groups=5)
    assert {id(v) for v in together[0]} == {id(v) for v in tail.trainable_variables}
    assert [len(group) for group in nested] == [2, 3, 3, 3, 3]


def test_a_shallow_backbone_has_empty_groups_and_a_frozen_layer_keeps_its_place():
    model = chain(3)
    assert [len(group) for group in groups_by_depth([model], groups=6)] == [3, 0, 3, 0, 3, 0]
    model.get_layer("conv1").trainable = model.get_layer("bn1").trainable = False
    assert [len(group) for group in groups_by_depth([model], groups=6)] == [3, 0, 0, 0, 3, 0]
