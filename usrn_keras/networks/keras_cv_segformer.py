"""`keras_cv/segformer_b0` to `b5`: keras-cv's SegFormer (Xie et al., NeurIPS 2021, arXiv 2105.15203).

Its attention between the pixels of maps, with several heads, is a layer of our own that takes any size.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
from keras import layers, ops

from usrn_keras.errors import WeightsError
from usrn_keras.networks.cut_backbone import Parts
from usrn_keras.networks.layers import ResizeLike, chain, relaid
from usrn_keras.networks.pretrained_weights import load_weights_file
from usrn_keras.networks.seeded import SeededDropout
from usrn_keras.optional import import_keras_cv

Tensor = Any


@keras.saving.register_keras_serializable(package="usrn_keras")
class MapAttention(layers.Layer):
    """Scaled dot-product attention of every pixel of one map over every pixel of another.

    With `Q`, `K`, `V` a head's share of the channels, pixels in rows, and `d` their number:
    `softmax(Q K^T / sqrt(d)) V` (Vaswani et al., arXiv 1706.03762, Eq. 1).

    Args:
        heads: Number of heads; it divides the channels.
        **kwargs: Of `keras.layers.Layer`.

    Input `[queries (batch, height, width, channels), keys (batch, h, w, channels), values
    (batch, h, w, channels)]`, output `(batch, height, width, channels)`.

    Example:

    >>> queries, keys = ops.ones((1, 4, 6, 8)), ops.ones((1, 2, 3, 8))
    >>> MapAttention(2)([queries, keys, keys]).shape
    (1, 4, 6, 8)
    """

    def __init__(self, heads: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.heads = heads
        self.built = True

    def call(self, inputs: list[Tensor]) -> Tensor:
        queries, keys, values = (self._in_heads(maps) for maps in inputs)
        _, height, width, channels = ops.shape(inputs[0])
        answers = ops.dot_product_attention(queries, keys, values)
        return ops.reshape(answers, (-1, height, width, channels))

    def _in_heads(self, maps: Tensor) -> Tensor:
        """`(batch, pixels, heads, channels of a head)`."""
        _, height, width, channels = ops.shape(maps)
        return ops.reshape(maps, (-1, height * width, self.heads, channels // self.heads))

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"heads": self.heads}


ASKED_BY = ("a keras_cv/segformer", "network.architecture = ''")

# Channels and blocks of the four stages (Table 6 of the paper); keras-cv has them in files to be downloaded.
SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "b0": ((32, 64, 160, 256), (2, 2, 2, 2)),
    "b1": ((64, 128, 320, 512), (2, 2, 2, 2)),
    "b2": ((64, 128, 320, 512), (3, 4, 6, 3)),
    "b3": ((64, 128, 320, 512), (3, 4, 18, 3)),
    "b4": ((64, 128, 320, 512), (3, 8, 27, 3)),
    "b5": ((64, 128, 320, 512), (3, 6, 40, 3)),
}


def segformer(
    size: str, *, weights: str, decoder_channels: int = 256, batch_norm_momentum: float = 0.9
) -> Parts:
    """SegFormer in the parts of a branch: the first stage is the stem, the other three are the tail.

    Its layers are keras-cv's, its weights random. They are laid anew (`relaid`), since keras-cv's own
    `call` takes square images of one size alone, and with one correction: before keys and values are made
    smaller, keras-cv 0.9.0 reads the memory of `(batch, channels, pixels)` as if it were `(batch, height,
    width, channels)` (`keras_cv/src/layers/segformer_multihead_attention.py`), which mixes pixels and
    channels in a way that depends on the size of the image. Here a map stays a map, as in the paper (Eq. 2)
    and in the authors' code. So keras-cv's ImageNet weights, which exist for `b0`, do not fit.

    Args:
        size: `b0` to `b5`.
        weights: `none`, or a `.weights.h5` file of the encoder, `encoder(size)`.
        decoder_channels: Channels of the decoder, keras-cv's `projection_filters` (in the paper 256 for b0
            and b1, 768 for the others).
        batch_norm_momentum: Of the decoder's batch normalisation; the encoder has none.

    Raises:
        BackendError: keras-cv or TensorFlow is not installed.
        WeightsError: `imagenet`, or a file that does not fit.
    """
    if weights == "imagenet":
        raise WeightsError(
            f"network.weights: there are no ImageNet weights for keras_cv/segformer_{size}",
            hint="Use --set network.weights=none, or the path of a .weights.h5 file.",
        )
    stock = stock_model(size, decoder_channels)
    whole = encoder(stock.backbone)
    if weights != "none":
        load_weights_file(whole, weights)
    low, *_ = whole.outputs
    stem = keras.Model(whole.input, low, name="stem")
    tail = keras.Model(low, whole.outputs[1:], name="tail")
    lay = partial(_decoder, stock, [maps.shape[-1] for maps in whole.outputs], batch_norm_momentum)
    return Parts(stem, tail, lay)


def stock_model(size: str, decoder_channels: int) -> keras.Model:
    """keras-cv's network at a small size: its layers are what is needed, and they know no size."""
    keras_cv = import_keras_cv(*ASKED_BY)
    channels, depths = SIZES[size]
    backbone = keras_cv.models.MiTBackbone(
        include_rescaling=True, depths=depths, embedding_dims=channels, input_shape=(64, 64, 3)
    )
    return keras_cv.models.SegFormer(backbone, num_classes=1, projection_filters=decoder_channels)


def encoder(stock: keras.Model) -> keras.Model:
    """keras-cv's `MiTBackbone` laid anew: images to the maps of the four stages."""
    maps = []
    x = images = keras.Input((None, None, 3), name="images")
    for layer in stock.layers[1:]:
        kind = type(layer).__name__
        if kind == "OverlappingPatchingAndEmbedding":
            x = relaid(layer.norm, relaid(layer.proj, x))
        elif kind == "HierarchicalTransformerEncoder":
            x = _block(layer, x)
        elif kind == "Reshape":  # from a sequence to a map, which it is already
            maps.append(x)
        else:
            x = relaid(layer, x)
    return keras.Model(images, maps, name="mit")


def _block(block: Any, x: Any) -> Any:
    """A transformer block: attention, then the Mix-FFN (Eqs. 1 to 3 of the paper), both residual."""
    attention, ffn = block.attn, block.mlp
    normal = relaid(block.norm1, x)
    queries = relaid(attention.q, normal)
    if attention.sr_ratio > 1:
        normal = relaid(attention.norm, relaid(attention.sr, normal))
    keys, values = relaid(attention.k, normal), relaid(attention.v, normal)
    answers = MapAttention(attention.num_heads)([queries, keys, values])
    x = _added(block, x, relaid(attention.proj, answers))
    hidden = relaid(ffn.dwconv, relaid(ffn.fc1, relaid(block.norm2, x)))
    return _added(block, x, relaid(ffn.fc2, layers.Activation(gelu)(hidden)))


def _added(block: Any, x: Any, change: Any) -> Any:
    """`x` with a change that is dropped for whole images, as keras-cv's `DropPath` does."""
    if block.drop_path.rate > 0:
        change = SeededDropout(block.drop_path.rate, noise_shape=(None, 1, 1, 1))(change)
    return layers.Add()([x, change])


@keras.saving.register_keras_serializable(package="usrn_keras")
def gelu(x: Any) -> Any:
    """GELU as keras-cv computes it, approximated with a hyperbolic tangent."""
    return ops.gelu(x, approximate=True)


def _decoder(stock: keras.Model, channels: list[int], batch_norm_momentum: float, name: str) -> keras.Model:
    """The all-MLP decoder up to its classifier (Eq. 4 of the paper): features at stride 4."""
    maps = [keras.Input((None, None, count), name=f"stage_{at}") for at, count in enumerate(channels)]
    linear = [relaid(stock.get_layer(f"linear_{x.shape[-1]}"), x) for x in maps]
    enlarged = [linear[0], *(ResizeLike()([x, maps[0]]) for x in linear[1:])]
    fuse = next(layer for layer in stock.layers if isinstance(layer, keras.Sequential))
    x = layers.Concatenate()(enlarged[::-1])
    return keras.Model(maps, chain(fuse.layers, x, batch_norm_momentum=batch_norm_momentum), name=name)
