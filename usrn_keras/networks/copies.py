"""A second branch that shares the layers of a branch, and has batch norms of its own."""

from __future__ import annotations

import keras

from usrn_keras.networks.branch import Branch

PARTS = ("stem", "tail", "decoder", "classifier")


def with_own_batch_norm(branch: Branch, name: str = "own_batch_norm") -> Branch:
    """Build a branch that shares every layer with another one but its batch norms.

    Convolutions and classifier are the same objects, trained by both branches. Scales, offsets and moving
    statistics of the batch norms are copies, which move on their own (doubled batch norms of DSBN). The
    original branch is not changed, and is saved and exported as it is.

    Args:
        branch: The original branch.
        name: Name of the new branch.

    Example:

    >>> from usrn_keras.networks import build_branches
    >>> branch, _ = build_branches("keras/mobilenet", classes=3, weights="none", width=0.25)
    >>> copy = with_own_batch_norm(branch)
    >>> shared = {id(v) for v in copy.variables} & {id(v) for v in branch.variables}
    >>> 0 < len(shared) < len(branch.variables) == len(copy.variables)
    True
    """
    return Branch(*(_part(getattr(branch, part)) for part in PARTS), name=name)


def _part(model: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(model, clone_function=_own_or_shared, recursive=True)
    copy.set_weights(model.get_weights())  # of the batch norms; the others are the same variables
    if not model.trainable:
        copy.trainable = False
    return copy


def _own_or_shared(layer: keras.Layer) -> keras.Layer:
    if not isinstance(layer, keras.layers.BatchNormalization):
        return layer
    return layer.__class__.from_config(layer.get_config())
