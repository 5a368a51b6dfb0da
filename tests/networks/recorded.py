"""Which layer of a supplier's network became which layer of ours."""

from __future__ import annotations

from types import ModuleType

import keras
import pytest

from usrn_keras.networks import layers as layers_file

Pairs = list[tuple[keras.Layer, keras.Layer]]


def record(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> Pairs:
    """The pairs that `module` makes from now on."""
    pairs: Pairs = []
    clone_layer = layers_file.clone_layer

    def recorded(layer, x, **changes):
        result = clone_layer(layer, x, **changes)
        pairs.append((layer, result._keras_history.operation))
        return result

    monkeypatch.setattr(layers_file, "clone_layer", recorded)  # what `clone_layers` calls
    monkeypatch.setattr(module, "clone_layer", recorded)
    return pairs


def take_over_weights(pairs: Pairs) -> None:
    """Give each of our layers the weights of the supplier's."""
    for theirs, ours in pairs:
        if theirs.weights:
            ours.set_weights([weight.numpy() for weight in theirs.weights])
