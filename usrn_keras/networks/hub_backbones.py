"""The transformers of keras-hub by name: MiT (SegFormer), DINOv2, DINOv3 and ViTDet, with their arguments."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras

from usrn_keras.errors import RecipeError
from usrn_keras.optional import import_keras_hub

REQUIRED_BY = "a keras_hub backbone", "another backbone"
VIT_STRIDE = 16  # of the tokens in the image
DEFAULT_WINDOW = 512
TO_UNIT = {"scale": 1 / 255, "offset": (0.0, 0.0, 0.0)}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB in 0..1 on ImageNet
IMAGENET = {
    "scale": tuple(1 / (255 * deviation) for deviation in DEVIATION),
    "offset": tuple(-mean / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)),
}


class HubBackbone(NamedTuple):
    """A backbone of keras-hub.

    Attributes:
        class_name: Name of its class in `keras_hub.models`.
        arguments: Arguments of the class, without `image_shape`.
        preprocess: Scale and offset of RGB in 0..255 that its published weights expect.
    """

    class_name: str
    arguments: dict[str, Any]
    preprocess: dict[str, Any] = IMAGENET

    @property
    def patch_size(self) -> int | None:
        """Side of a patch in pixels; None for a pyramid."""
        return self.arguments.get("patch_size")

    def config(self, window: int) -> dict[str, Any]:
        """Arguments of the class for squares of an image.

        Args:
            window: Side of the squares in the image.
        """
        side = window if self.patch_size is None else window * self.patch_size // VIT_STRIDE
        return self.arguments | {"image_shape": (side, side, 3)}

    def build(self, width: float = 1.0) -> keras.Model:
        """Build the backbone with random weights, for images of its default size.

        Args:
            width: Must be 1.

        Raises:
            BackendError: keras-hub is not installed.
            RecipeError: The width is not 1.
        """
        if width != 1:
            raise RecipeError(f"network.width: backbones of keras_hub support width 1 only, received {width}")
        backbone = getattr(import_keras_hub(*REQUIRED_BY).models, self.class_name)
        return backbone(**self.config(DEFAULT_WINDOW))


def _mit(hidden_dims: list[int], depths: list[int]) -> HubBackbone:
    return HubBackbone(
        "MiTBackbone",
        {
            "hidden_dims": hidden_dims,
            "layerwise_depths": depths,
            "num_layers": 4,
            "layerwise_num_heads": [1, 2, 5, 8],
            "layerwise_sr_ratios": [8, 4, 2, 1],
            "layerwise_patch_sizes": [7, 3, 3, 3],
            "layerwise_strides": [4, 2, 2, 2],
            "max_drop_path_rate": 0.1,
        },
    )


def _vit(num_layers: int, hidden_dim: int, num_heads: int, **own: Any) -> dict[str, Any]:
    sizes = {"num_layers": num_layers, "num_heads": num_heads, "intermediate_dim": 4 * hidden_dim}
    return sizes | {"hidden_dim": hidden_dim} | own


def _dinov2(*sizes: int) -> HubBackbone:
    own = {"patch_size": 14, "position_embedding_shape": (518, 518)}
    return HubBackbone("DINOV2Backbone", _vit(*sizes, **own))


def _dinov3(*sizes: int) -> HubBackbone:
    return HubBackbone("DINOV3Backbone", _vit(*sizes, patch_size=16, use_key_bias=False))


def _vit_det(num_layers: int, hidden_size: int, num_heads: int, every: int) -> HubBackbone:
    arguments = {
        "patch_size": 16,
        "num_layers": num_layers,
        "hidden_size": hidden_size,
        "num_heads": num_heads,
        "intermediate_dim": 4 * hidden_size,
        "global_attention_layer_indices": list(range(every - 1, num_layers, every)),
    }
    return HubBackbone("ViTDetBackbone", arguments, TO_UNIT)  # it normalises by itself


WIDE = [64, 128, 320, 512]
HUB_BACKBONES: dict[str, HubBackbone] = {
    "keras_hub/mit_b0": _mit([32, 64, 160, 256], [2, 2, 2, 2]),
    "keras_hub/mit_b1": _mit(WIDE, [2, 2, 2, 2]),
    "keras_hub/mit_b2": _mit(WIDE, [3, 4, 6, 3]),
    "keras_hub/mit_b3": _mit(WIDE, [3, 4, 18, 3]),
    "keras_hub/mit_b4": _mit(WIDE, [3, 8, 27, 3]),
    "keras_hub/mit_b5": _mit(WIDE, [3, 6, 40, 3]),
    "keras_hub/dinov2_small": _dinov2(12, 384, 6),
    "keras_hub/dinov2_base": _dinov2(12, 768, 12),
    "keras_hub/dinov2_large": _dinov2(24, 1024, 16),
    "keras_hub/dinov3_small": _dinov3(12, 384, 6),
    "keras_hub/dinov3_base": _dinov3(12, 768, 12),
    "keras_hub/dinov3_large": _dinov3(24, 1024, 16),
    "keras_hub/vit_det_base": _vit_det(12, 768, 12, every=3),
    "keras_hub/vit_det_large": _vit_det(24, 1024, 16, every=6),
}
