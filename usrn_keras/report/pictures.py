"""Pictures of a segmentation: its class ids as a palette PNG, its colours over the image."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from usrn_keras.errors import DataError

OVERLAY_OPACITY = 0.5
PALETTE_SIZE = 256  # entries of a palette PNG


def palette_png(labels: np.ndarray, palette: np.ndarray) -> bytes:
    """A PNG file whose values are class ids and whose palette are the classes' colours.

    Args:
        labels: (height, width) integers, class ids.
        palette: (C, 3) uint8 RGB, C at most 256.

    Raises:
        DataError: A palette PNG has no room for that many classes.
    """
    if len(palette) > PALETTE_SIZE:
        raise DataError(f"a palette PNG holds at most {PALETTE_SIZE} classes, the run has {len(palette)}")
    picture = Image.fromarray(labels.astype(np.uint8))
    picture.putpalette(palette.astype(np.uint8).tobytes())
    return _png(picture)


def overlay_png(image: np.ndarray, labels: np.ndarray, palette: np.ndarray) -> bytes:
    """A PNG file of the image, (height, width, 3) uint8, half covered by its classes' colours."""
    mixed = (1 - OVERLAY_OPACITY) * image + OVERLAY_OPACITY * palette[labels]
    return _png(Image.fromarray(mixed.round().astype(np.uint8)))


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
