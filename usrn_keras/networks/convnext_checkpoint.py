"""Names of the tensors of ConvNeXt checkpoints of torchvision, timm and the authors, by layer of Keras.

The network is that of keras.applications (Liu et al., arXiv 2201.03545), whose published weights come from
the checkpoints of the authors. For stage s, counted from 0, and block b:

    layer of Keras              torchvision                  timm                       the authors
    stem_conv                   features.0.0                 stem.0                     downsample_layers.0.0
    stem_layernorm              features.0.1                 stem.1                     downsample_layers.0.1
    downsampling_layernorm_s-1  features.2s.0                stages.s.downsample.0      downsample_layers.s.0
    downsampling_conv_s-1       features.2s.1                stages.s.downsample.1      downsample_layers.s.1
    depthwise_conv              features.2s+1.b.block.0      stages.s.blocks.b.conv_dw  stages.s.b.dwconv
    layernorm                   features.2s+1.b.block.2      stages.s.blocks.b.norm     stages.s.b.norm
    pointwise_conv_1            features.2s+1.b.block.3      stages.s.blocks.b.mlp.fc1  stages.s.b.pwconv1
    pointwise_conv_2            features.2s+1.b.block.5      stages.s.blocks.b.mlp.fc2  stages.s.b.pwconv2
    layer_scale                 features.2s+1.b.layer_scale  stages.s.blocks.b.gamma    stages.s.b.gamma
    the last normalisation      classifier.0                 head.norm                  norm

Layers of blocks have the prefix `stage_s_block_b_`, and all layers that of the model.
"""

from __future__ import annotations

import re

import keras

from usrn_keras.networks.layer_groups import leaf_layers

SCHEMES = ("torchvision", "timm", "authors")
BLOCK = re.compile(r"_stage_(\d+)_block_(\d+)_(\w+)$")
DOWNSAMPLING = re.compile(r"_downsampling_(layernorm|conv)_(\d+)$")
STEM = re.compile(r"_stem_(conv|layernorm)$")
BLOCK_NAMES = {
    "depthwise_conv": ("block.0", "conv_dw", "dwconv"),
    "layernorm": ("block.2", "norm", "norm"),
    "pointwise_conv_1": ("block.3", "mlp.fc1", "pwconv1"),
    "pointwise_conv_2": ("block.5", "mlp.fc2", "pwconv2"),
    "layer_scale": ("layer_scale", "gamma", "gamma"),
}
LAST = ("classifier.0", "head.norm", "norm")


def is_convnext(model: keras.Model) -> bool:
    """Whether a model is a ConvNeXt of keras.applications."""
    return model.name.startswith("convnext")


def convnext_names(model: keras.Model) -> list[list[tuple[str, keras.Variable]]]:
    """Pair the variables of a ConvNeXt with their names in a checkpoint, for each scheme of `SCHEMES`.

    Args:
        model: ConvNeXt of keras.applications without its classifier, or the first layers of it.
    """
    pairs: list[list[tuple[str, keras.Variable]]] = [[] for _ in SCHEMES]
    for layer in leaf_layers(model):
        if not layer.weights:
            continue
        for scheme, name in zip(pairs, _names_of(layer.name), strict=True):
            if layer.name.endswith("_layer_scale"):
                scheme.append((name, layer.weights[0]))
            else:
                parts = ("weight", "bias")
                scheme += [(f"{name}.{part}", one) for part, one in zip(parts, layer.weights, strict=True)]
    return pairs


def _names_of(layer: str) -> tuple[str, str, str]:
    """Name of a layer in each scheme."""
    if found := BLOCK.search(layer):
        stage, block, part = int(found[1]), found[2], found[3]
        torchvision, timm, authors = BLOCK_NAMES[part]
        return (
            f"features.{2 * stage + 1}.{block}.{torchvision}",
            f"stages.{stage}.blocks.{block}.{timm}",
            f"stages.{stage}.{block}.{authors}",
        )
    if found := DOWNSAMPLING.search(layer):
        number, stage = int(found[1] == "conv"), int(found[2]) + 1
        return (
            f"features.{2 * stage}.{number}",
            f"stages.{stage}.downsample.{number}",
            f"downsample_layers.{stage}.{number}",
        )
    if found := STEM.search(layer):
        number = int(found[1] == "layernorm")
        return f"features.0.{number}", f"stem.{number}", f"downsample_layers.0.{number}"
    return LAST
