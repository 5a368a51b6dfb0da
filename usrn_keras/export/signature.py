"""The input of an exported model: which sizes are free and how that is written down."""

from __future__ import annotations

from typing import Any

from usrn_keras.errors import ExportError

SIZE_MULTIPLE = 32


def check_input_size(input_size: tuple[int, int] | None) -> None:
    """Height and width must be positive multiples of 32.

    Raises:
        ExportError: They are not.
    """
    if input_size is not None and any(side < 1 or side % SIZE_MULTIPLE for side in input_size):
        height, width = (max(1, round(side / SIZE_MULTIPLE)) * SIZE_MULTIPLE for side in input_size)
        raise ExportError(
            f"input size {input_size[0]} x {input_size[1]}: both must be multiples of {SIZE_MULTIPLE}, not 0",
            hint=f"Choose {height} x {width}, or leave the size free.",
        )


def symbolic_shape(input_size: tuple[int, int] | None) -> tuple[str | int, ...]:
    """`("batch", "32*height", "32*width", 3)`, or the fixed size; the batch is always free."""
    sides = (f"{SIZE_MULTIPLE}*height", f"{SIZE_MULTIPLE}*width") if input_size is None else input_size
    return ("batch", *sides, 3)


def describe(input_size: tuple[int, int] | None) -> str:
    """The signature for people: `float32 (batch, 32*height, 32*width, 3)`."""
    return f"float32 ({', '.join(map(str, symbolic_shape(input_size)))})"


def keras_signature(input_size: tuple[int, int] | None) -> list[Any]:
    """The `input_signature` of `keras.Model.export`."""
    import keras

    height, width = input_size or (None, None)
    return [keras.InputSpec(shape=(None, height, width, 3), dtype="float32", name="images")]
