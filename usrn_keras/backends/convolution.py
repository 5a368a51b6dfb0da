"""What a convolution of a given map really needs: padding as Keras has it, and no taps beyond the map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def same_padding(pixels: int, taps: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Zeros before and after a side with `padding="same"`.

    Example:

    >>> same_padding(8, taps=3, stride=2)
    (0, 1)
    """
    total = max(0, (-(-pixels // stride) - 1) * stride + (taps - 1) * dilation + 1 - pixels)
    return total // 2, total - total // 2


def dead_taps(layer: Any, size: Sequence[int]) -> tuple[int, int]:
    """Taps at either end of a kernel's height and width that meet nothing but padding on a map of `size`.

    A tap further from the centre than the map is wide sees zeros alone, wherever the kernel stands: an
    ASPP with rate 18 on a map of 8 x 8 is a convolution of 1 x 1, and costs a ninth of what it seems to.

    Args:
        layer: A convolution of Keras.
        size: Height and width of its input.
    """
    if layer.padding != "same" or max(layer.strides) > 1:
        return 0, 0
    return tuple(
        max(0, taps // 2 - (pixels - 1) // dilation) if taps % 2 else 0
        for taps, dilation, pixels in zip(layer.kernel_size, layer.dilation_rate, size, strict=True)
    )
