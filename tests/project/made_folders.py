"""Small folders of images and masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (24, 32)  # height, width


def write_photo(path: Path, seed: int = 0, size: tuple[int, int] = SIZE) -> Path:
    """An RGB image of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def stripes(count: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """`(height, width)` uint8: as many vertical stripes of equal width."""
    return np.broadcast_to(np.arange(size[1]) * count // size[1], size).astype(np.uint8)


def write_mask(path: Path, values, size: tuple[int, int] = SIZE) -> Path:
    """A mask of stripes of ids (8 bits, or 16 where needed) or of RGB colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = np.array(values)
    table = table.astype(np.uint16 if table.max() > 255 else np.uint8)
    Image.fromarray(table[stripes(len(values), size)]).save(path)
    return path


def write_palette_mask(path: Path, colours, size: tuple[int, int] = SIZE) -> Path:
    """A palette PNG of stripes whose indices have the colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.fromarray(stripes(len(colours), size))
    mask.putpalette([value for colour in colours for value in colour])
    mask.save(path)
    return path


def make_folders(
    root: Path, values=(0, 1, 2), *, image="photos/{}.png", mask="masks/{}.png", write=write_mask
) -> Path:
    """8 images, the first 5 of them with masks of `values`."""
    for i in range(8):
        write_photo(root / image.format(f"a{i}"), seed=i)
    for i in range(5):
        write(root / mask.format(f"a{i}"), values)
    return root
