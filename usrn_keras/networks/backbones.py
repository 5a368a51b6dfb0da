"""Backbones by name and supplier: keras.applications, keras-cv, keras-hub, torchvision's ResNets, our own."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import keras

from usrn_keras.errors import RecipeError
from usrn_keras.networks.hub_backbones import HUB_BACKBONES, IMAGENET
from usrn_keras.networks.hub_backbones import REQUIRED_BY as HUB_REQUIRED_BY
from usrn_keras.networks.input_bands import Colours, extended_values
from usrn_keras.networks.residual_backbone import residual_backbone
from usrn_keras.networks.torchvision_resnet import torchvision_resnet
from usrn_keras.optional import import_keras_cv, import_keras_hub

Named = TypeVar("Named")


def find_by_name(key: str, name: str, known: Mapping[str, Named]) -> Named:
    """Find an entry by its name in a recipe.

    Args:
        key: Recipe key for the message: `backbone`, `decoder` or `architecture`.
        name: Name in the recipe.
        known: Available entries by name.

    Raises:
        RecipeError: The name is unknown; the message lists all names, the hint suggests the nearest.

    Example:

    >>> find_by_name("decoder", "pspnet", {"pspnet": 1})
    1
    """
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    raise RecipeError(
        f"network.{key}: unknown {key} {name!r}; allowed: {', '.join(known)}",
        hint=f"Did you mean `{near[0]}`?" if near else "",
    )


REQUIRED_BY = ("a keras_cv backbone", "a keras/... or usrn/... backbone")
CAFFE_MEAN = (123.68, 116.779, 103.939)


@dataclass(frozen=True)
class Backbone:
    """A backbone: its builder and the preprocessing that its weights expect.

    Attributes:
        build: Function `build(width)` that returns a functional model with random weights, without
            preprocessing.
        scale: Factor on RGB values in 0..255, one for all channels or one for each.
        offset: Offset added to each channel after scaling.
        bgr: Whether the published weights expect blue, green, red. Then the first kernel is flipped when they
            are loaded, so that the network takes RGB.
        preset: Name of the ImageNet preset of keras-cv or keras-hub; empty if there is none.
        hub_class: Name of its class in `keras_hub.models`; empty if it is not from there.
        application: Name in `keras.applications`; empty if it is not from there.
    """

    build: Callable[[float], keras.Model]
    scale: float | tuple[float, float, float] = 1 / 255
    offset: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0))
    bgr: bool = False
    preset: str = ""
    application: str = ""
    hub_class: str = ""

    def preprocess(self, colours: Colours = (0, 1, 2)) -> keras.Layer:
        """Build the layer from bands in 0..255 to the input range of the weights.

        Args:
            colours: Which of red (0), green (1) and blue (2) each band is; None for another band.
        """
        scale = extended_values(self.scale, colours) if isinstance(self.scale, tuple) else self.scale
        return keras.layers.Rescaling(scale, extended_values(self.offset, colours), name="preprocess")


def find_backbone(name: str) -> Backbone:
    """Find a backbone by its name.

    Args:
        name: Name such as `keras/mobilenet`.

    Raises:
        RecipeError: The backbone is unknown.

    Example:

    >>> find_backbone("keras/mobilenet").build(0.25).output_shape[-1]
    256
    """
    return find_by_name("backbone", name, BACKBONES)


def _application(name: str, *, has_width: bool = False) -> Callable[[float], keras.Model]:
    def build(width: float) -> keras.Model:
        if width != 1 and not has_width:
            raise RecipeError(f"network.width: keras/{name.lower()} supports width 1 only, received {width}")
        own = {"alpha": width} if has_width else {}
        build = getattr(keras.applications, name)
        return build(include_top=False, weights=None, input_shape=(None, None, 3), **own)

    return build


def _keras_cv_resnet(blocks: tuple[int, ...], block_type: str) -> Callable[[float], keras.Model]:
    def build(width: float) -> keras.Model:
        filters = [max(8, round(width * channels)) for channels in (64, 128, 256, 512)]
        if block_type == "basic_block":
            filters[0] = 64  # the first basic block of keras-cv adds the 64 channels of the stem unprojected
        backbone = import_keras_cv(*REQUIRED_BY).models.ResNetBackbone(
            stackwise_filters=filters,
            stackwise_blocks=list(blocks),
            stackwise_strides=[1, 2, 2, 2],
            include_rescaling=False,
            input_shape=(None, None, 3),
            block_type=block_type,
        )
        return keras.Model(backbone.input, backbone.output, name="resnet")

    return build


def _keras_hub_resnet(depth: int, blocks: tuple[int, ...], block_type: str) -> Backbone:
    """A ResNet of keras-hub: the 3x3 convolution halves the size, as in torchvision."""

    def build(width: float) -> keras.Model:
        if width != 1:
            raise RecipeError(
                f"network.width: keras_hub/resnet_{depth} supports width 1 only, received {width}"
            )
        backbone = import_keras_hub(*HUB_REQUIRED_BY).models.ResNetBackbone(
            [64], [7], [64, 128, 256, 512], list(blocks), [1, 2, 2, 2], block_type
        )
        return keras.Model(backbone.input, backbone.output, name="resnet")

    return Backbone(build, **IMAGENET, hub_class="ResNetBackbone", preset=f"resnet_{depth}_imagenet")


def _caffe(name: str) -> Backbone:
    """Weights that expect blue, green, red without scaling, from Caffe."""
    offset = tuple(-mean for mean in CAFFE_MEAN)
    return Backbone(_application(name), scale=1.0, offset=offset, bgr=True, application=name)


def _to_one(name: str, *, has_width: bool = False) -> Backbone:
    """Weights that expect values in -1..1."""
    build = _application(name, has_width=has_width)
    return Backbone(build, scale=1 / 127.5, offset=(-1.0, -1.0, -1.0), application=name)


def _own_scaling(name: str) -> Backbone:
    """A network that scales the values 0..255 itself."""
    return Backbone(_application(name), scale=1.0, application=name)


def _by_deviation(name: str) -> Backbone:
    """Weights that expect values with the mean 0 and the deviation 1 on ImageNet."""
    return Backbone(_application(name), **IMAGENET, application=name)


def _torchvision(blocks: tuple[int, ...], *, bottleneck: bool) -> Backbone:
    return Backbone(partial(torchvision_resnet, blocks=blocks, bottleneck=bottleneck), **IMAGENET)


# Application by its name in lower case. Left out: NASNet and Inception-ResNet, whose graphs have no place to
# cut or layers that cannot be dilated.
OWN_SCALING = (
    *(f"EfficientNetB{number}" for number in range(8)),
    *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    *(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
    *("MobileNetV3Small", "MobileNetV3Large"),
)
TO_ONE = ("MobileNetV2", "ResNet50V2", "ResNet101V2", "ResNet152V2", "Xception")
DEVIATION = ("DenseNet121", "DenseNet169", "DenseNet201")

BACKBONES: dict[str, Backbone] = {
    "keras/mobilenet": _to_one("MobileNet", has_width=True),
    "keras/resnet50": _caffe("ResNet50"),
    "keras/resnet101": _caffe("ResNet101"),
    "keras/resnet152": _caffe("ResNet152"),
    **{f"keras/{name.lower()}": _to_one(name, has_width=name == "MobileNetV2") for name in TO_ONE},
    **{f"keras/{name.lower()}": _own_scaling(name) for name in OWN_SCALING},
    **{f"keras/{name.lower()}": _by_deviation(name) for name in DEVIATION},
    "keras_cv/resnet14": Backbone(_keras_cv_resnet((1, 1, 1, 1), "block")),
    "keras_cv/resnet18": Backbone(_keras_cv_resnet((2, 2, 2, 2), "basic_block")),
    "keras_cv/resnet26": Backbone(_keras_cv_resnet((2, 2, 2, 2), "block")),
    "keras_cv/resnet34": Backbone(_keras_cv_resnet((3, 4, 6, 3), "basic_block")),
    "keras_cv/resnet50": Backbone(_keras_cv_resnet((3, 4, 6, 3), "block"), preset="resnet50_imagenet"),
    "keras_cv/resnet101": Backbone(_keras_cv_resnet((3, 4, 23, 3), "block")),
    "keras_cv/resnet152": Backbone(_keras_cv_resnet((3, 8, 36, 3), "block")),
    "keras_hub/resnet_18": _keras_hub_resnet(18, (2, 2, 2, 2), "basic_block"),
    "keras_hub/resnet_50": _keras_hub_resnet(50, (3, 4, 6, 3), "bottleneck_block"),
    "keras_hub/resnet_101": _keras_hub_resnet(101, (3, 4, 23, 3), "bottleneck_block"),
    "keras_hub/resnet_152": _keras_hub_resnet(152, (3, 8, 36, 3), "bottleneck_block"),
    **{
        name: Backbone(spec.build, **spec.preprocess, hub_class=spec.class_name)
        for name, spec in HUB_BACKBONES.items()
    },
    "torchvision/resnet18": _torchvision((2, 2, 2, 2), bottleneck=False),
    "torchvision/resnet34": _torchvision((3, 4, 6, 3), bottleneck=False),
    "torchvision/resnet50": _torchvision((3, 4, 6, 3), bottleneck=True),
    "torchvision/resnet101": _torchvision((3, 4, 23, 3), bottleneck=True),
    "torchvision/resnet152": _torchvision((3, 8, 36, 3), bottleneck=True),
    "usrn/resnet14": Backbone(residual_backbone),
}
