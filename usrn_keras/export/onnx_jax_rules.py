"""Layers that jax2onnx writes as one ONNX operation each, whatever the size of the image.

Checked with jax2onnx 0.17: its rule for `jax.image.resize` needs every size fixed, the batch
included, and its rule for pooling takes the batch and the channels for further dimensions of the
image, which no runtime can pool. Here the layers become primitives with rules of their own. They
work on (batch, channels, height, width), the layout of ONNX.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np


@functools.cache
def onnx_layers() -> Mapping[type[keras.layers.Layer], type[keras.layers.Layer]]:
    """For each layer class that needs it, a class of the same function that jax2onnx can export."""
    import jax.numpy as jnp

    resize = onnx_primitive("usrn_keras_resize", _resized_shape, _resize)
    pool = onnx_primitive("usrn_keras_max_pool", _pooled_shape, _max_pool)

    def channels_first(bind: Callable[..., Any], x: Any, **parameters: Any) -> Any:
        return jnp.transpose(bind(jnp.transpose(x, (0, 3, 1, 2)), **parameters), (0, 2, 3, 1))

    class OnnxUpSampling2D(keras.layers.UpSampling2D):
        def call(self, inputs: Any) -> Any:
            return channels_first(resize.bind, inputs, factors=tuple(self.size))

    class OnnxMaxPooling2D(keras.layers.MaxPooling2D):
        def call(self, inputs: Any) -> Any:
            windows = {"size": tuple(self.pool_size), "strides": tuple(self.strides)}
            return channels_first(pool.bind, inputs, padding=self.padding, **windows)

    return {keras.layers.UpSampling2D: OnnxUpSampling2D, keras.layers.MaxPooling2D: OnnxMaxPooling2D}


def onnx_primitive(name: str, shape: Callable[..., tuple], write: Callable[..., Any]) -> Any:
    """A JAX primitive and its rule in jax2onnx.

    Args:
        name: Of the primitive.
        shape: `shape(shape of the input, **parameters)` -> shape of the output.
        write: `write(ctx, input, **parameters)` -> output, which adds the ONNX operation.
    """
    from jax.core import ShapedArray
    from jax.extend.core import Primitive
    from jax2onnx.plugins.plugin_system import PrimitiveLeafPlugin, register_primitive

    primitive = Primitive(name)
    primitive.def_abstract_eval(lambda x, **parameters: ShapedArray(shape(x.shape, **parameters), x.dtype))

    @register_primitive(jaxpr_primitive=name, testcases=[])
    class _Rule(PrimitiveLeafPlugin):
        def lower(self, ctx: Any, eqn: Any) -> None:
            x = ctx.get_value_for_var(eqn.invars[0], name_hint=ctx.fresh_name("images"))
            y = write(ctx, x, **eqn.params)
            y.type = x.type
            ctx.bind_value_for_var(eqn.outvars[0], y)

    return primitive


def _resized_shape(shape: tuple, *, factors: tuple[int, int]) -> tuple:
    batch, channels, height, width = shape
    return batch, channels, height * factors[0], width * factors[1]


def _resize(ctx: Any, x: Any, *, factors: tuple[int, int]) -> Any:
    def constant(label: str, values: list[float]) -> Any:
        array = np.asarray(values, "float32")
        return ctx.builder.add_initializer_from_array(name=ctx.fresh_name(label), array=array)

    return ctx.builder.Resize(
        x,
        constant("region", []),
        constant("factors", [1, 1, *factors]),
        _outputs=[ctx.fresh_name("resized")],
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )


def _pooled_shape(shape: tuple, *, size: tuple[int, int], strides: tuple[int, int], padding: str) -> tuple:
    # "same" pads so that every stride begins a window; "valid" drops windows that do not fit.
    missing = (1, 1) if padding == "same" else size
    sides = zip(shape[2:], missing, strides, strict=True)
    return (*shape[:2], *((side - window) // stride + 1 for side, window, stride in sides))


def _max_pool(ctx: Any, x: Any, *, size: tuple[int, int], strides: tuple[int, int], padding: str) -> Any:
    return ctx.builder.MaxPool(
        x,
        _outputs=[ctx.fresh_name("pooled")],
        kernel_shape=size,
        strides=strides,
        auto_pad="SAME_UPPER" if padding == "same" else "VALID",
    )
