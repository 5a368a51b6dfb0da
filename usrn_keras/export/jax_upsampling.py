"""Bilinear upsampling as one ONNX `Resize` with free sizes, for jax2onnx.

Checked with jax2onnx 0.17: its own rule for `jax.image.resize` needs every size fixed, the batch
included. Here the layer becomes a primitive of its own whose rule writes the factors instead.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np


@functools.cache
def onnx_upsampling() -> type[Any]:
    """`UpSampling2D(interpolation="bilinear")` that jax2onnx exports with free sizes."""
    import jax.numpy as jnp

    primitive = _register_primitive()

    class OnnxUpSampling2D(keras.layers.UpSampling2D):
        def call(self, inputs: Any) -> Any:
            # Channels first: the layout in which every ONNX runtime can resize.
            x = primitive.bind(jnp.transpose(inputs, (0, 3, 1, 2)), factors=tuple(self.size))
            return jnp.transpose(x, (0, 2, 3, 1))

    return OnnxUpSampling2D


def _register_primitive() -> Any:
    from jax.core import ShapedArray
    from jax.extend.core import Primitive
    from jax2onnx.plugins.plugin_system import PrimitiveLeafPlugin, register_primitive

    name = "usrn_keras_upsample_bilinear"
    primitive = Primitive(name)

    @primitive.def_abstract_eval
    def _shape(x: Any, *, factors: tuple[int, int]) -> ShapedArray:
        batch, channels, height, width = x.shape
        return ShapedArray((batch, channels, height * factors[0], width * factors[1]), x.dtype)

    @register_primitive(jaxpr_primitive=name, testcases=[])
    class _Resize(PrimitiveLeafPlugin):
        def lower(self, ctx: Any, eqn: Any) -> None:
            def constant(label: str, values: list[float]) -> Any:
                array = np.asarray(values, "float32")
                return ctx.builder.add_initializer_from_array(name=ctx.fresh_name(label), array=array)

            x = ctx.get_value_for_var(eqn.invars[0], name_hint=ctx.fresh_name("upsample_input"))
            y = ctx.builder.Resize(
                x,
                constant("region", []),
                constant("factors", [1, 1, *eqn.params["factors"]]),
                _outputs=[ctx.fresh_name("upsampled")],
                mode="linear",
                coordinate_transformation_mode="half_pixel",
            )
            y.type = x.type
            ctx.bind_value_for_var(eqn.outvars[0], y)

    return primitive
