"""A network of the two branches F and F_sub, and its builder. Shared parts are computed once.

Two branches share a part if both have the same object.
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
from usrn_keras.errors import RecipeError
from usrn_keras.networks.branch import Branch, run_part
from usrn_keras.networks.cut_backbone import Parts, backbone_parts
from usrn_keras.networks.decoders.decoder_options import DecoderOptions, FeatureMaps, find_decoder
from usrn_keras.networks.fine_tuning import Frozen, add_adapters, freeze, validate_fine_tuning
from usrn_keras.networks.keras_cv import ArchitectureOptions, find_architecture
from usrn_keras.networks.keras_hub import hub_parts, is_hub_transformer
from usrn_keras.networks.layers import classifier
from usrn_keras.networks.seeded import draw_weights
from usrn_keras.optional import without_tensorflow
from usrn_keras.recipe.bands import Bands, band_errors, parse_bands

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
            found = branch.features(lows[name], highs[name], training=training)
            features[name] = ops.average_pool(found, 2, strides=2, padding="valid") if pooled else found
        return features

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


def _with_perturbed(features: dict[Head, Any], perturb: Callable[[Tensor], Tensor]) -> dict[Head, Any]:
    """Append perturbed features to the batch of each map, once for a map that both branches have."""
    known: dict[int, Tensor] = {}

    def both(one: Tensor) -> Tensor:
        if id(one) not in known:
            known[id(one)] = ops.concatenate([one, perturb(one)])
        return known[id(one)]

    return keras.tree.map_structure(both, features)


Sharing = Literal["none", "low", "low_high"]


@without_tensorflow()
def build_branches(
    backbone: str | keras.Model = "",
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
    frozen: Frozen = "none",
    lora_rank: int = 0,
    seed: int | Sequence[int] | None = None,
    bands: Sequence[int | str] = (),
    window: int = 512,
    **decoder_options: Any,
) -> tuple[Branch, Branch | None]:
    """Build F and, with `subclasses`, F_sub.

    Args:
        backbone: Name of the backbone, `SUPPLIER/NAME`; or a functional model from images `(batch, height,
            width, bands)` in 0..255 to features, which keeps its weights. Strides become dilation beyond
            `output_stride`, and the low-level features are those at the end of stride 4.
        architecture: Name of a whole network, `SUPPLIER/NAME`, which has its own decoder and output stride
            and may have its own backbone; empty to use `backbone` and `decoder`.
        classes: Number of classes, the channels of the logits of F.
        subclasses: Number of subclasses, the channels of the logits of F_sub; None for F alone.
        weights: Pretrained weights: `imagenet`, `none` or the path of a file.
        width: Factor on the number of channels of the backbone.
        backbone_end: Name of the last layer of the backbone to use; empty for the whole backbone.
        output_stride: Stride of the deepest features.
        sharing: Parts that the branches share (Table 5): `none`, `low` (stem and first stage) or `low_high`
            (whole backbone). Parts that are not shared start from equal weights.
        decoder: Name of the decoder: `deeplab_v3_plus`, `pspnet` or `psanet`.
        classifier_dropout: Dropout rate before the classifier.
        frozen: Part of the backbone that is not trained: `none`, `stem` or `backbone`. It runs in inference
            mode, and both branches share it, whatever `sharing` says: its copies would stay equal.
        lora_rank: Rank of low-rank adapters (LoRA) in the layers of a frozen backbone, which are trained; 0
            for none. See `usrn_keras.networks.fine_tuning.add_adapters`.
        seed: Seed of the initial weights, the same on every backend; None if the backend draws them. In a
            sequence, only the first number seeds the backbone.
        bands: Bands of the images as in `data.bands` of a recipe, such as `("red", "green", "blue", "nir")`;
            empty for red, green and blue. `usrn_keras.networks.input_bands.with_bands` says how a pretrained
            backbone is extended.
        window: Side in pixels of the squares that a transformer of keras-hub sees, a multiple of 32; recipes
            give `views.crop_size`. Other backbones see whole images.
        **decoder_options: Options of the decoder, see `DecoderOptions`. `batch_norm_momentum` applies to the
            backbone too.

    Returns:
        F, and F_sub or None.

    Raises:
        RecipeError: The architecture, backbone, layer or decoder is unknown, or a layer of the backbone
            cannot be converted (the message says which and why), or no layer can have an adapter.
        BackendError: keras-cv is required and not installed.
        WeightsError: The weights do not fit.

    Example:

    >>> branch, sub_branch = build_branches(
    ...     "keras/mobilenet", classes=3, subclasses=7, weights="none", width=0.25)
    >>> branch.stem is sub_branch.stem, branch.tail is sub_branch.tail
    (True, False)
    """
    validate_fine_tuning(frozen, lora_rank)
    options, images = DecoderOptions(**decoder_options), _bands(bands)
    if architecture:
        own = ArchitectureOptions(weights, backbone, width, backbone_end, options, images)
        parts = find_architecture(architecture)(own)
    elif is_hub_transformer(backbone):
        parts = hub_parts(
            backbone,
            weights=weights,
            width=width,
            end=backbone_end,
            output_stride=output_stride,
            window=window,
            bands=images,
            decoder=lambda maps, name: find_decoder(decoder)(maps, options, name),
        )
    else:
        stem, tail = backbone_parts(
            backbone,
            weights=weights,
            width=width,
            end=backbone_end,
            output_stride=output_stride,
            batch_norm_momentum=options.batch_norm_momentum,
            bands=images,
        )
        maps = FeatureMaps(stem.output.shape[-1], tail.output.shape[-1], output_stride)
        parts = Parts(stem, tail, partial(find_decoder(decoder), maps, options))

    def head(outputs: int, name: str) -> keras.Model:
        return classifier(options.decoder_channels, outputs, dropout=classifier_dropout, name=name)

    sharing = sharing if lora_rank else _with_frozen_shared(sharing, frozen)
    backbone_seed = None
    if seed is None:
        branches = _branches(parts, head, classes, subclasses, sharing)
    else:
        backbone_seed = int(np.atleast_1d(seed)[0])
        backbone_rng, head_rng = np.random.default_rng(backbone_seed), np.random.default_rng(seed)
        if weights == "none" and not isinstance(backbone, keras.Model):
            for part in (parts.stem, parts.tail):
                draw_weights(part, backbone_rng)
        seeded = replace(parts, decoder=lambda name: draw_weights(parts.decoder(name), head_rng))
        branches = _branches(
            seeded, lambda *given: draw_weights(head(*given), head_rng), classes, subclasses, sharing
        )
    present = [branch for branch in branches if branch is not None]
    if lora_rank:
        add_adapters(present, lora_rank, backbone_seed)
    else:
        freeze(present, frozen)
    return branches


def _with_frozen_shared(sharing: Sharing, frozen: Frozen) -> Sharing:
    """Share what is frozen: copies of it would stay equal."""
    if frozen == "backbone":
        return "low_high"
    return "low" if frozen == "stem" and sharing == "none" else sharing


def _bands(entries: Sequence[int | str]) -> Bands | None:
    if errors := list(band_errors(entries)):
        raise RecipeError("`bands` is not valid", errors=errors)
    return parse_bands(entries)


def _branches(
    parts: Parts,
    head: Callable[[int, str], keras.Model],
    classes: int,
    subclasses: int | None,
    sharing: Sharing,
) -> tuple[Branch, Branch | None]:
    """Build F and F_sub from the same parts, shared or copied.

    The classifiers are initialized before the decoders, so that a seed gives the weights of earlier versions.
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
