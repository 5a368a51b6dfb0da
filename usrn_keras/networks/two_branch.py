"""A network of the two branches F and F_sub, and how it is built; what the branches share is computed once.

Two branches share a part by holding the same object.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import keras
import numpy as np
from keras import ops

from usrn_keras.backends import run_graph
from usrn_keras.networks.branch import Branch
from usrn_keras.networks.cut_backbone import Parts, backbone_parts
from usrn_keras.networks.decoders.decoder_options import DecoderOptions, Maps, find_decoder
from usrn_keras.networks.keras_cv import StockOptions, find_architecture
from usrn_keras.networks.layers import classifier
from usrn_keras.networks.seeded import draw_weights
from usrn_keras.optional import tensorflow_left_out

Tensor = Any
Head = Literal["F", "F_sub"]


class Network(NamedTuple):
    """A class branch and, where the method has one, the subclass branch that shares layers with it.

    Attributes:
        F: The class branch.
        F_sub: The subclass branch; parts that are the same objects are shared. None: there is none.
    """

    F: Branch
    F_sub: Branch | None = None

    @property
    def branches(self) -> dict[Head, Branch]:
        """The branches by name."""
        return {"F": self.F} if self.F_sub is None else {"F": self.F, "F_sub": self.F_sub}

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """Trainable variables of both branches, those that they share once."""
        found = [v for branch in self.branches.values() for v in branch.trainable_variables]
        return list({id(variable): variable for variable in found}.values())

    def logits(
        self,
        images: Tensor,
        heads: Collection[Head] = ("F",),
        *,
        pooled: bool = False,
        training: bool = True,
    ) -> dict[Head, Tensor]:
        """Logits of one view.

        Args:
            images: `(batch, height, width, 3)` float32, RGB in 0..255.
            heads: Branches whose logits are needed.
            pooled: Whether the features are average-pooled 2x2 before the classifiers, so that the logits
                have stride 8 instead of 4.
            training: Whether batch normalisation takes the statistics of this view, and dropout drops.

        Returns:
            `(batch, height / stride, width / stride, classes or subclasses)` float32, by branch.
        """
        branches = {name: branch for name, branch in self.branches.items() if name in heads}
        lows = self._applied("stem", dict.fromkeys(branches, images), training)
        highs = self._applied("tail", lows, training)
        logits = {}
        for name, branch in branches.items():
            features = branch.features(lows[name], highs[name], training=training)
            if pooled:
                features = ops.average_pool(features, 2, strides=2, padding="valid")
            logits[name] = run_graph(branch.classifier, features, training=training)
        return logits

    def _applied(self, part: str, inputs: dict[Head, Tensor], training: bool) -> dict[Head, Tensor]:
        """A part of each branch applied to its input, once where part and input are the same."""
        results: dict[Head, Tensor] = {}
        for name, value in inputs.items():
            model = getattr(self.branches[name], part)
            shared = name == "F_sub" and "F" in results and model is getattr(self.F, part)
            if shared and inputs["F"] is value:
                results[name] = results["F"]
            else:
                results[name] = run_graph(model, value, training=training)
        return results

    @property
    def shared_parts(self) -> list[str]:
        """Names of the parts that both branches share."""
        if self.F_sub is None:
            return []
        return [part for part in ("stem", "tail") if getattr(self.F, part) is getattr(self.F_sub, part)]

    @classmethod
    def joined(cls, branches: Sequence[Branch], shared: Collection[str]) -> Network:
        """A network of branches that were restored one by one.

        Args:
            branches: F and, if there is one, F_sub.
            shared: Names of the parts of F that F_sub shares.
        """
        if len(branches) == 1:
            return cls(*branches)
        branch, sub_branch = branches
        parts = {part: getattr(sub_branch, part) for part in ("stem", "tail", "decoder", "classifier")}
        parts |= {part: getattr(branch, part) for part in shared}
        return cls(branch, Branch(**parts, name=sub_branch.name))

    def copy_weights(self, source: Branch) -> None:
        """Let both branches start from a trained class branch; F_sub's classifier stays as it is.

        Args:
            source: The trained branch, of the same architecture.
        """
        for branch in self.branches.values():
            for part in ("stem", "tail", "decoder"):
                getattr(branch, part).set_weights(getattr(source, part).get_weights())
        self.F.classifier.set_weights(source.classifier.get_weights())

    def set_sub_classifier(self, kernel: np.ndarray, bias: np.ndarray) -> None:
        """Replace the weights of F_sub's classifier.

        Args:
            kernel: `(channels, subclasses)` float32.
            bias: `(subclasses,)` float32.
        """
        self.F_sub.classifier.set_weights([kernel[None, None], bias])


class ForwardPass(NamedTuple):
    """One pass of images through a network in a training step; operation counts read it.

    Attributes:
        view: Name of the view: `labelled`, `weak`, `strong`, ...
        images: Batch that the images come from.
        heads: Branches that the images pass through.
        network: Number of the network in `Method.networks`.
        gradient: Whether the pass goes backward, too.
        pooled: Whether the features are pooled 2x2 before the classifiers.
    """

    view: str
    images: Literal["labelled", "unlabelled"]
    heads: tuple[Head, ...]
    network: int = 0
    gradient: bool = True
    pooled: bool = False


Sharing = Literal["none", "low", "low_high"]


@tensorflow_left_out()
def build_branches(
    backbone: str = "",
    *,
    architecture: str = "",
    classes: int,
    subclasses: int | None = None,
    weights: str = "imagenet",
    width: float = 1.0,
    backbone_end: str = "",
    output_stride: int = 16,
    sharing: Sharing = "low",
    decoder: str = "deeplab_v3_plus",
    classifier_dropout: float = 0.1,
    seed: int | Sequence[int] | None = None,
    **decoder_options: Any,
) -> tuple[Branch, Branch | None]:
    """Build F and, where `subclasses` is given, F_sub.

    Args:
        backbone: `SUPPLIER/NAME`.
        architecture: `SUPPLIER/NAME` of a whole network, which brings its own decoder and output stride, and
            perhaps its own backbone; empty: backbone and decoder as named here.
        classes: Channels of F's logits.
        subclasses: Channels of F_sub's logits.
        weights: `imagenet`, `none` or a file.
        width: Multiplies the channels of the backbone.
        backbone_end: Name of the last layer of the backbone to use; empty: all of it.
        output_stride: Stride of the deepest features.
        sharing: What the branches share (Table 5): `none`, `low` (stem and first stage),
            `low_high` (whole backbone). Branches that do not share start from equal weights.
        decoder: `deeplab_v3_plus`, `pspnet` or `psanet`.
        classifier_dropout: Share of the features that dropout drops before the classifier.
        seed: Seed of the initial weights, the same on every backend; None: drawn by the backend. Of a
            sequence the first number alone seeds the backbone.
        **decoder_options: See `DecoderOptions`; `batch_norm_momentum` is that of the backbone too.

    Raises:
        RecipeError: Unknown architecture, backbone, layer or decoder.
        BackendError: A supplier is not installed.
        WeightsError: The weights do not fit.

    Example:

    >>> branch, sub_branch = build_branches(
    ...     "keras/mobilenet", classes=3, subclasses=7, weights="none", width=0.25)
    >>> branch.stem is sub_branch.stem, branch.tail is sub_branch.tail
    (True, False)
    """
    options = DecoderOptions(**decoder_options)
    if architecture:
        stock = StockOptions(weights, backbone, width, backbone_end, options)
        parts = find_architecture(architecture)(stock)
    else:
        stem, tail = backbone_parts(
            backbone,
            weights=weights,
            width=width,
            end=backbone_end,
            output_stride=output_stride,
            batch_norm_momentum=options.batch_norm_momentum,
        )
        maps = Maps(stem.output.shape[-1], tail.output.shape[-1], output_stride)
        parts = Parts(stem, tail, partial(find_decoder(decoder), maps, options))

    def head(outputs: int, name: str) -> keras.Model:
        return classifier(options.decoder_channels, outputs, dropout=classifier_dropout, name=name)

    if seed is None:
        return _branches(parts, head, classes, subclasses, sharing)
    of_backbone, of_heads = np.random.default_rng(np.atleast_1d(seed)[0]), np.random.default_rng(seed)
    if weights == "none":
        for part in (parts.stem, parts.tail):
            draw_weights(part, of_backbone)
    seeded = replace(parts, decoder=lambda name: draw_weights(parts.decoder(name), of_heads))
    return _branches(
        seeded, lambda *given: draw_weights(head(*given), of_heads), classes, subclasses, sharing
    )


def _branches(
    parts: Parts,
    head: Callable[[int, str], keras.Model],
    classes: int,
    subclasses: int | None,
    sharing: Sharing,
) -> tuple[Branch, Branch | None]:
    """F and F_sub of the same parts, which they share or have copies of.

    Heads are drawn before decoders: the weights of a seed are those of earlier versions.
    """
    own_head = head(classes, "classifier")
    branch = Branch(parts.stem, parts.tail, parts.decoder("decoder"), own_head, name="branch")
    if subclasses is None:
        return branch, None
    stem = _copy(parts.stem) if sharing == "none" else parts.stem
    tail = parts.tail if sharing == "low_high" else _copy(parts.tail)
    sub_head = head(subclasses, "sub_classifier")
    return branch, Branch(stem, tail, parts.decoder("sub_decoder"), sub_head, name="sub_branch")


def _copy(model: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy
