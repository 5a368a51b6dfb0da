"""Build the branches F and F_sub from a backbone, a decoder and classifiers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import keras
import numpy as np

from usrn_keras.errors import RecipeError
from usrn_keras.networks.branch import Branch
from usrn_keras.networks.cut_backbone import Parts, backbone_parts
from usrn_keras.networks.decoders.decoder_options import DecoderOptions, FeatureMaps, find_decoder
from usrn_keras.networks.fine_tuning import Frozen, add_adapters, freeze, validate_fine_tuning
from usrn_keras.networks.keras_cv import ArchitectureOptions, find_architecture
from usrn_keras.networks.keras_hub import hub_parts, is_hub_transformer
from usrn_keras.networks.layers import classifier
from usrn_keras.networks.seeded import draw_weights
from usrn_keras.optional import without_tensorflow
from usrn_keras.recipe.bands import Bands, band_errors, parse_bands

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
    options = DecoderOptions(**decoder_options)
    own = BackboneChoice(weights, width, backbone_end, output_stride, _bands(bands), window)
    parts = _find_parts(backbone, architecture, decoder, own, options)

    def head(outputs: int, name: str) -> keras.Model:
        return classifier(options.decoder_channels, outputs, dropout=classifier_dropout, name=name)

    if seed is not None:
        random_backbone = weights == "none" and not isinstance(backbone, keras.Model)
        parts, head = _with_seeds(parts, head, seed, random_backbone=random_backbone)
    sharing = sharing if lora_rank else _with_frozen_shared(sharing, frozen)
    branches = _branches(parts, head, classes, subclasses, sharing)
    present = [branch for branch in branches if branch is not None]
    if lora_rank:
        add_adapters(present, lora_rank, None if seed is None else int(np.atleast_1d(seed)[0]))
    else:
        freeze(present, frozen)
    return branches


@dataclass(frozen=True)
class BackboneChoice:
    """What is asked of a backbone, see `build_branches`.

    Args:
        weights: Pretrained weights: `imagenet`, `none` or the path of a file.
        width: Factor on the number of channels.
        end: Name of the last layer to use; empty for the whole backbone.
        output_stride: Stride of the deepest features.
        bands: Bands of the images; None for red, green and blue.
        window: Side in pixels of the squares that a transformer sees.
    """

    weights: str
    width: float
    end: str
    output_stride: int
    bands: Bands | None
    window: int


def _find_parts(
    backbone: str | keras.Model,
    architecture: str,
    decoder: str,
    choice: BackboneChoice,
    options: DecoderOptions,
) -> Parts:
    """Build stem and tail, and the function that builds a decoder on them."""
    if architecture:
        own = ArchitectureOptions(choice.weights, backbone, choice.width, choice.end, options, choice.bands)
        return find_architecture(architecture)(own)
    asked = dict(vars(choice))
    if is_hub_transformer(backbone):
        return hub_parts(
            backbone, decoder=lambda maps, name: find_decoder(decoder)(maps, options, name), **asked
        )
    del asked["window"]
    stem, tail = backbone_parts(backbone, batch_norm_momentum=options.batch_norm_momentum, **asked)
    maps = FeatureMaps(stem.output.shape[-1], tail.output.shape[-1], choice.output_stride)
    return Parts(stem, tail, partial(find_decoder(decoder), maps, options))


def _with_seeds(
    parts: Parts,
    head: Callable[[int, str], keras.Model],
    seed: int | Sequence[int],
    *,
    random_backbone: bool,
) -> tuple[Parts, Callable[[int, str], keras.Model]]:
    """Draw the weights of a random backbone, and those of decoders and classifiers when they are built."""
    rng = np.random.default_rng(seed)
    if random_backbone:
        backbone_rng = np.random.default_rng(int(np.atleast_1d(seed)[0]))
        for part in (parts.stem, parts.tail):
            draw_weights(part, backbone_rng)
    seeded = replace(parts, decoder=lambda name: draw_weights(parts.decoder(name), rng))
    return seeded, lambda *given: draw_weights(head(*given), rng)


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
