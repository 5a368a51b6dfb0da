"""What of a backbone is trained: all of it, the part above the stem, low-rank adapters alone, or nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from usrn_keras.backends.graph import inner_layers
from usrn_keras.errors import RecipeError
from usrn_keras.networks.branch import Branch
from usrn_keras.networks.layer_groups import leaf_layers, own_variables

Frozen = Literal["none", "stem", "backbone"]
FROZEN_PARTS: dict[str, tuple[str, ...]] = {"none": (), "stem": ("stem",), "backbone": ("stem", "tail")}
ADAPTERS = (("lora_kernel_a", "lora_kernel_b"), ("lora_embeddings_a", "lora_embeddings_b"))


def validate_fine_tuning(frozen: str, lora_rank: int) -> None:
    """Check the keys of fine-tuning.

    Args:
        frozen: Part to freeze.
        lora_rank: Rank of low-rank adapters; 0 for none.

    Raises:
        RecipeError: `frozen` is unknown, or there are adapters without a frozen backbone.
    """
    if frozen not in FROZEN_PARTS:
        raise RecipeError(f"network.frozen: must be one of {', '.join(FROZEN_PARTS)}, received {frozen!r}")
    if lora_rank and frozen != "backbone":
        raise RecipeError(
            f"network.lora_rank: needs network.frozen = 'backbone', received {frozen!r}",
            hint="Adapters are trained in place of the weights of the backbone.",
        )


def freeze(branches: Sequence[Branch], frozen: Frozen) -> None:
    """Freeze a part of the backbone of branches.

    A frozen part has no gradient, no activations in memory for one, and no state in the optimizer. It runs in
    inference mode in training too: batch normalisation uses the moving statistics and does not move them, and
    dropout is not active.

    Args:
        branches: Branches that may share parts.
        frozen: Part to freeze: `none`, `stem` or `backbone`.
    """
    for branch in branches:
        for part in FROZEN_PARTS[frozen]:
            getattr(branch, part).trainable = False


def add_adapters(branches: Sequence[Branch], rank: int, seed: int | None = None) -> None:
    """Freeze the backbone, but for low-rank adapters in its layers (LoRA, arXiv 2106.09685).

    The kernel W of a layer becomes `W + A B` with `A (..., inputs, rank)` drawn and `B (rank, outputs)` zero,
    so that the network is the same before the first step. A, B and the bias of the layer are trained, as in
    `Backbone.enable_lora` of KerasHub; all other layers are frozen. The layers are those of Keras with a
    method `enable_lora`: `Dense`, `EinsumDense`, `Embedding` and convolutions, but not depthwise and
    separable ones. Copies of a part start with the same adapters.

    Args:
        branches: Branches that may share parts.
        rank: Rank of the adapters, at least 1.
        seed: Seed of A, the same on every backend; None if the backend draws it.

    Raises:
        RecipeError: No layer of the backbone can have an adapter.
    """
    count = 0
    for number, name in enumerate(FROZEN_PARTS["backbone"]):
        for part in {id(part): part for part in (getattr(branch, name) for branch in branches)}.values():
            rng = None if seed is None else np.random.default_rng([seed, number])
            count += sum(_adapt(layer, rank, rng) for layer in leaf_layers(part))
    if not count:
        raise RecipeError(
            "network.lora_rank: no layer of the backbone can have low-rank adapters",
            hint="Dense, EinsumDense and Embedding layers and ordinary convolutions can; depthwise and "
            "separable convolutions cannot. Set network.lora_rank = 0.",
        )


def _adapt(layer: keras.Layer, rank: int, rng: np.random.Generator | None) -> bool:
    """Add an adapter to a layer that can have one, and freeze any other; returns whether it has one."""
    if not hasattr(layer, "enable_lora"):
        if inner_layers(layer):  # as a whole it would freeze the adapters in it
            for variable in own_variables(layer):
                variable.trainable = False
        else:
            layer.trainable = False
        return False
    layer.enable_lora(rank)
    if rng is not None:
        _draw(adapter_of(layer)[0], rng)
    return True


def _draw(a: keras.Variable, rng: np.random.Generator) -> None:
    """Draw the matrix A of an adapter from `he_uniform`, the default of Keras."""
    limit = math.sqrt(6.0 / max(1, math.prod(a.shape[:-1])))
    a.assign(rng.uniform(-limit, limit, tuple(a.shape)).astype("float32"))


def adapter_of(layer: keras.Layer) -> tuple[keras.Variable, ...]:
    """Return the matrices A and B of the adapter of a layer; `()` without one."""
    if not getattr(layer, "lora_enabled", False):
        return ()
    names = next(pair for pair in ADAPTERS if hasattr(layer, pair[0]))
    return tuple(getattr(layer, name) for name in names)


def restart_adapters(branches: Iterable[Branch]) -> None:
    """Draw the adapters again that were loaded from a file of Keras, which holds their sum with the kernels.

    Keras sets both matrices to zero when it loads such a file, and then neither has a gradient.

    Args:
        branches: Branches of the loaded networks.
    """
    rng = np.random.default_rng(0)
    for part in (getattr(branch, name) for branch in branches for name in FROZEN_PARTS["backbone"]):
        for a, _ in filter(None, map(adapter_of, leaf_layers(part))):
            if not bool(ops.any(ops.not_equal(a, 0))):
                _draw(a, rng)


def without_adapters(model: keras.Model) -> keras.Model:
    """Build the same model with the adapters added to the kernels, for files and export.

    Args:
        model: Functional model.

    Returns:
        The model itself if it has no adapters, otherwise a copy with ordinary layers.
    """
    if not any(map(adapter_of, leaf_layers(model))):
        return model

    def clone(layer: keras.Layer) -> keras.Layer:
        config = {key: value for key, value in layer.get_config().items() if not key.startswith("lora_")}
        return layer.__class__.from_config(config)

    copy = keras.models.clone_model(model, clone_function=clone, recursive=True)
    for ours, theirs in zip(leaf_layers(copy), leaf_layers(model), strict=True):
        values: dict[str, Any] = {}
        theirs.save_own_variables(values)  # Keras saves a kernel with its adapter added
        # Copies: on JAX both models would hold one buffer, which a step of the other one takes back.
        ours.load_own_variables({key: np.array(ops.convert_to_numpy(one)) for key, one in values.items()})
    return copy
