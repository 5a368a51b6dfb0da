"""Bitmaps inside annotation files: PNG files of one region, whose size is checked before they are decoded."""

from __future__ import annotations

import cv2
import numpy as np

from usrn_keras.data.decoding.png_files import PNG_SIGNATURE
from usrn_keras.memory_errors import ran_out_of_memory

_HEADER = 24  # bytes up to the height


def decode_png(data: bytes, size: tuple[int, int] | None = None, most: int = 2**28) -> np.ndarray:
    """Decode the PNG of one region.

    Args:
        data: PNG file.
        size: Height and width that it must have; None if any.
        most: Largest number of pixels.

    Returns:
        `(height, width)` bool: where the opacity, or without opacity the value, is not 0.

    Raises:
        ValueError: The data is no PNG, damaged, or of another size.
    """
    if not data.startswith(PNG_SIGNATURE) or len(data) < _HEADER:
        raise ValueError("the data is not a PNG file")
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if size is not None and (height, width) != size:
        raise ValueError(f"the PNG has {width}x{height} pixels; its shape has {size[1]}x{size[0]}")
    if height * width > most:
        raise ValueError(f"the PNG has {width}x{height} pixels; the limit is {most:,} pixels")
    try:
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        if ran_out_of_memory(error):
            raise
        raise ValueError(f"the PNG is damaged: {error.err}") from error
    if values is None:
        raise ValueError("the PNG is damaged")
    if values.ndim == 2:
        return values > 0
    return values[..., 3] > 0 if values.shape[2] == 4 else values.any(axis=2)


def encode_png(mask: np.ndarray) -> bytes:
    """Encode a mask (bool) as a PNG of the values 0 and 255."""
    return cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()
