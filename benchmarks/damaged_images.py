"""Damaged image files that are refused, and those that are read with wrong pixels, by format and damage.

    python benchmarks/damaged_images.py [--files 100] [--to benchmarks/results/damaged_images.csv]

Writes small files of every format that is read, flips a bit, cuts off the end, or overwrites 512 bytes (a
quarter of shorter files) with zeros at a random place, and reads them as training does. Needs no data set.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks import machine, table
from usrn_keras.data.decoding.images import read_image
from usrn_keras.errors import DataError

RESULTS = Path(__file__).with_name("results") / "damaged_images.csv"
FORMATS = {
    "JPEG": ("JPEG", ".jpg", {"quality": 90}),
    "PNG": ("PNG", ".png", {}),
    "TIFF": ("TIFF", ".tif", {}),
    "TIFF, LZW": ("TIFF", ".tif", {"compression": "tiff_lzw"}),
    "TIFF, Deflate": ("TIFF", ".tif", {"compression": "tiff_adobe_deflate"}),
    "TIFF, PackBits": ("TIFF", ".tif", {"compression": "packbits"}),
    "TIFF, JPEG": ("TIFF", ".tif", {"compression": "jpeg"}),
    "WebP, lossy": ("WEBP", ".webp", {"quality": 85}),
    "WebP, lossless": ("WEBP", ".webp", {"lossless": True}),
    "BMP": ("BMP", ".bmp", {}),
    "GIF": ("GIF", ".gif", {}),
}  # fmt: skip
"""Format of Pillow, suffix and options by name."""

Damage = Callable[[bytes, random.Random], bytes]


def photo(seed: int) -> np.ndarray:
    """A smooth picture with noise, `(96, 128, 3)` uint8."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (13, 17, 3), dtype=np.uint8)
    smooth = cv2.resize(colours, (128, 96), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


def flip_bit(content: bytes, draw: random.Random) -> bytes:
    """Flip one bit."""
    changed = bytearray(content)
    changed[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut_off(content: bytes, draw: random.Random) -> bytes:
    """Remove the end, from a random byte after the 20th."""
    return content[: draw.randrange(20, len(content) - 1)]


def overwrite(content: bytes, draw: random.Random) -> bytes:
    """Overwrite a block with zeros."""
    size = min(512, len(content) // 4)
    start = draw.randrange(len(content) - size)
    return content[:start] + bytes(size) + content[start + size :]


DAMAGES: dict[str, Damage] = {"flipped bit": flip_bit, "cut off": cut_off, "zeros": overwrite}


def outcomes(name: str, damage: Damage, files: int, folder: Path) -> Counter[str]:
    """Count the files of a format that are `refused`, read `right` or read `wrong` after a damage."""
    kind, suffix, options = FORMATS[name]
    path, found = folder / f"image{suffix}", Counter()
    for seed in range(files):
        stream = io.BytesIO()
        Image.fromarray(photo(seed)).save(stream, kind, **options)
        path.write_bytes(stream.getvalue())
        expected = read_image(path)
        path.write_bytes(damage(stream.getvalue(), random.Random(seed)))
        try:
            found["right" if np.array_equal(read_image(path), expected) else "wrong"] += 1
        except DataError:
            found["refused"] += 1
    return found


def rows(files: int) -> Iterator[dict[str, object]]:
    """A row for each format and damage."""
    with tempfile.TemporaryDirectory() as folder:
        for name in FORMATS:
            for damage, change in DAMAGES.items():
                found = outcomes(name, change, files, Path(folder))
                counts = {outcome: found[outcome] for outcome in ("refused", "right", "wrong")}
                yield {"format": name, "damage": damage, "files": files, **counts}


def main() -> None:
    """Write the rows of all formats."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=100, help="files of each format and damage")
    parser.add_argument("--to", type=Path, default=RESULTS, help="CSV file of the results, replaced")
    options = parser.parse_args()
    facts = machine.facts()
    table.write(options.to, [{**row, **facts} for row in rows(options.files)])


if __name__ == "__main__":
    main()
