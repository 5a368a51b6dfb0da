"""A network of the two branches F and F_sub. Shared parts are computed once.

Two branches share a part if both have the same object.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal, NamedTuple

import keras
import numpy as np
from keras import ops

from usrn_keras.backends import joint_views, run_graph
from usrn_keras.networks.branch import Branch, run_part

Tensor = Any
Head = Literal["F", "F_sub"]


class BackboneFeatures(NamedTuple):
    """Features that a frozen backbone has computed, in place of images.

    Attributes:
        low: Low-level features at stride 4, `(batch, height / 4, width / 4, channels)`.
        high: Deepest features, `(batch, height / stride, width / stride, channels)`.
    """

    low: Tensor
    high: Tensor


class View(NamedTuple):
    """One of several views that pass a network as one batch.

    Attributes:
        images: Images `(batch, height, width, bands)` float32 in 0..255, or their `BackboneFeatures`.
        pooled: Whether to average-pool the features 2x2 before the classifiers.
    """

    images: Tensor | BackboneFeatures
    pooled: bool = False


class Network(NamedTuple):
    """A class branch and, if the method has one, a subclass branch that shares layers with it.

    Attributes:
        F: Class branch.
        F_sub: Subclass branch, or None. Parts that are the same objects as those of F are shared.
    """

    F: Branch
    F_sub: Branch | None = None

    @property
    def branches(self) -> dict[Head, Branch]:
        """Branches by name."""
        return {"F": self.F} if self.F_sub is None else {"F": self.F, "F_sub": self.F_sub}

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """Trainable variables of both branches, without duplicates."""
        found = [v for branch in self.branches.values() for v in branch.trainable_variables]
        return list({id(variable): variable for variable in found}.values())

    def logits(
        self,
        images: Tensor | BackboneFeatures,
        heads: Collection[Head] = ("F",),
        *,
        pooled: bool = False,
        training: bool = True,
        perturb: Callable[[Tensor], Tensor] | None = None,
    ) -> dict[Head, Tensor]:
        """Compute the logits of one view.

        Args:
            images: Images `(batch, height, width, bands)` float32 in 0..255, or their `BackboneFeatures`.
            heads: Names of the branches to compute.
            pooled: Whether to average-pool the features 2x2 before the classifiers, so that the logits have
                stride 8 instead of 4.
            training: Whether batch normalisation uses the statistics of this view and dropout is active.
            perturb: Function from a feature map of the backbone to a perturbed one. The decoders get the
                perturbed features too, in one batch with the others, and the result has twice the batch, the
                logits of the perturbed features last. None for no perturbation.

        Returns:
            `(batch, height / stride, width / stride, classes or subclasses)` float32, by branch.
        """
        features = self.features(images, heads, pooled=pooled, training=training, perturb=perturb)
        return self.classify(features, training=training)

    def joint_logits(
        self, views: Sequence[View], heads: Collection[Head] = ("F",)
    ) -> list[dict[Head, Tensor]]:
        """Compute the logits of several views in training, in one pass; batch normalisation keeps them apart.

        Convolutions of one larger batch are faster than those of several small ones, and the activations of
        all views are in memory at once.

        Args:
            views: Views of images of one size.
            heads: Names of the branches to compute.

        Returns:
            For each view the result of `logits`, up to rounding and dropout.

        Raises:
            ValueError: The images of the views have different sizes.
        """
        shapes = [keras.tree.flatten(view.images)[0].shape[1:] for view in views]
        if len(set(map(tuple, shapes))) > 1:
            found = " and ".join(" x ".join(map(str, shape[:2])) for shape in shapes)
            raise ValueError(f"views that pass as one batch must have one size, received {found}")
        sizes = [ops.shape(keras.tree.flatten(view.images)[0])[0] for view in views]
        together = keras.tree.map_structure(lambda *parts: ops.concatenate(parts), *(v.images for v in views))
        with joint_views(sizes):
            features = self.features(together, heads)
        results, start = [], 0
        for view, size in zip(views, sizes, strict=True):
            own = {name: found[start : start + size] for name, found in features.items()}
            results.append(self.classify(pool(own) if view.pooled else own))
            start = start + size
        return results

    def features(
        self,
        images: Tensor | BackboneFeatures,
        heads: Collection[Head] = ("F",),
        *,
        pooled: bool = False,
        training: bool = True,
        perturb: Callable[[Tensor], Tensor] | None = None,
    ) -> dict[Head, Tensor]:
        """Compute the decoder features of one view, which `classify` turns into logits.

        Args:
            images: See `logits`, as all arguments.
            heads: Names of the branches to compute.
            pooled: Whether to average-pool the features 2x2.
            training: Whether batch normalisation uses the statistics of this view and dropout is active.
            perturb: Function from a feature map of the backbone to a perturbed one, or None.

        Returns:
            `(batch, height / stride, width / stride, channels)`, by branch.
        """
        branches = {name: branch for name, branch in self.branches.items() if name in heads}
        if isinstance(images, BackboneFeatures):
            lows, highs = (dict.fromkeys(branches, maps) for maps in images)
        else:
            lows = self._apply_part("stem", dict.fromkeys(branches, images), training)
            highs = self._apply_part("tail", lows, training)
        if perturb is not None:
            lows, highs = (_with_perturbed(features, perturb) for features in (lows, highs))
        features = {}
        for name, branch in branches.items():
            features[name] = branch.features(lows[name], highs[name], training=training)
        return pool(features) if pooled else features

    def classify(self, features: dict[Head, Tensor], *, training: bool = True) -> dict[Head, Tensor]:
        """Compute logits from the decoder features of `features`.

        Args:
            features: Features by branch.
            training: Whether dropout is active.
        """
        return {
            name: run_graph(self.branches[name].classifier, found, training=training)
            for name, found in features.items()
        }

    def _apply_part(self, part: str, inputs: dict[Head, Tensor], training: bool) -> dict[Head, Tensor]:
        """Apply a part of each branch to its input, once if part and input are the same."""
        results: dict[Head, Tensor] = {}
        for name, value in inputs.items():
            model = getattr(self.branches[name], part)
            shared = name == "F_sub" and "F" in results and model is getattr(self.F, part)
            if shared and inputs["F"] is value:
                results[name] = results["F"]
            else:
                results[name] = run_part(model, value, training)
        return results

    @property
    def shared_parts(self) -> list[str]:
        """Names of the parts that both branches share."""
        if self.F_sub is None:
            return []
        return [part for part in ("stem", "tail") if getattr(self.F, part) is getattr(self.F_sub, part)]

    @classmethod
    def from_branches(cls, branches: Sequence[Branch], shared: Collection[str]) -> Network:
        """Build a network from branches that were restored separately.

        Args:
            branches: F and, if the network has one, F_sub.
            shared: Names of the parts that F_sub shares with F.
        """
        if len(branches) == 1:
            return cls(*branches)
        branch, sub_branch = branches
        parts = {part: getattr(sub_branch, part) for part in ("stem", "tail", "decoder", "classifier")}
        parts |= {part: getattr(branch, part) for part in shared}
        return cls(branch, Branch(**parts, name=sub_branch.name))

    def copy_weights(
        self, source: Branch, parts: Sequence[str] = ("stem", "tail", "decoder", "classifier")
    ) -> None:
        """Copy the weights of a trained class branch to both branches, except to the classifier of F_sub.

        Args:
            source: Trained branch of the same architecture.
            parts: Names of the parts to copy.
        """
        for branch in self.branches.values():
            for part in parts:
                if part != "classifier" or branch is self.F:
                    getattr(branch, part).set_weights(getattr(source, part).get_weights())

    def set_sub_classifier(self, kernel: np.ndarray, bias: np.ndarray) -> None:
        """Set the weights of the classifier of F_sub.

        Args:
            kernel: Kernel `(channels, subclasses)` float32.
            bias: Bias `(subclasses,)` float32.
        """
        self.F_sub.classifier.set_weights([kernel[None, None], bias])


class ForwardPass(NamedTuple):
    """One forward pass of a training step, as read by the operation counts.

    Attributes:
        view: Name of the view: `labelled`, `weak`, `strong`, ...
        images: Batch that the images belong to; `both` if labelled and unlabelled images are one batch.
        heads: Names of the branches that the images pass.
        network: Index of the network in `Method.networks`.
        gradient: Whether there is a backward pass.
        pooled: Whether the features are pooled 2x2 before the classifiers.
        views: Number of views of the images that pass as one batch.
        perturbed: Whether the decoders get the features of the backbone twice, as they are and perturbed.
    """

    view: str
    images: Literal["labelled", "unlabelled", "both"]
    heads: tuple[Head, ...]
    network: int = 0
    gradient: bool = True
    pooled: bool = False
    views: int = 1
    perturbed: bool = False


def pool(features: dict[Head, Tensor]) -> dict[Head, Tensor]:
    """Average-pool the features of each branch 2x2."""
    return {name: ops.average_pool(found, 2, strides=2, padding="valid") for name, found in features.items()}


def _with_perturbed(features: dict[Head, Any], perturb: Callable[[Tensor], Tensor]) -> dict[Head, Any]:
    """Append perturbed features to the batch of each map, once for a map that both branches have."""
    known: dict[int, Tensor] = {}

    def both(one: Tensor) -> Tensor:
        if id(one) not in known:
            known[id(one)] = ops.concatenate([one, perturb(one)])
        return known[id(one)]

    return keras.tree.map_structure(both, features)
