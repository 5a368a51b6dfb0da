"""Layers that jax2onnx exports as one ONNX operation each, for any image size.

Checked with jax2onnx 0.17: its rule for `jax.image.resize` requires fixed sizes, including the batch, and its
rule for pooling treats batch and channels as spatial dimensions, which no runtime supports. Here the layers
are primitives with their own rules, in the ONNX layout (batch, channels, height, width).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np


@functools.cache
def onnx_layers() -> Mapping[type[keras.layers.Layer], type[keras.layers.Layer]]:
    """Map layer classes to equivalent classes that jax2onnx can export."""
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
    """Create a JAX primitive and register its jax2onnx rule.

    Args:
        name: Name of the primitive.
        shape: Function `shape(input_shape, **parameters)` that returns the output shape.
        write: Function `write(ctx, input, **parameters)` that adds the ONNX operation and returns its output.
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
    # "same" pads so that every stride starts a window; "valid" drops incomplete windows.
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
