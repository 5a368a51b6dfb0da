"""Small data sets on disk."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

SIZE = (12, 16)


def write_image(path: Path, size: tuple[int, int] = SIZE, seed: int = 0) -> Path:
    """An RGB image of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


def write_mask(path: Path, ids: np.ndarray | int = 0, size: tuple[int, int] = SIZE) -> Path:
    """A grey mask, 8 bits or 16 by the type of `ids`; a single id fills it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full(size, ids, np.uint8) if np.isscalar(ids) else ids
    assert cv2.imwrite(str(path), pixels)
    return path


def write_grey_png(path: Path, values: np.ndarray, bits: int) -> Path:
    """Neither OpenCV nor Pillow writes grey PNG of 2 or 4 bits."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape
    shifts = np.arange(bits - 1, -1, -1)
    rows = [b"\0" + np.packbits(((row[:, None] >> shifts) & 1).reshape(-1)).tobytes() for row in values]
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    return path


def write_palette_mask(path: Path, ids: np.ndarray) -> Path:
    """A palette PNG whose colours are far from its ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.fromarray(ids.astype(np.uint8))
    mask.putpalette([255 - value for value in range(256) for _ in range(3)])
    mask.save(path)
    return path


def write_list(path: Path, names) -> Path:
    """A list file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))
    return path


@pytest.fixture
def files():
    """The writers above."""
    return SimpleNamespace(
        image=write_image,
        mask=write_mask,
        palette_mask=write_palette_mask,
        grey_png=write_grey_png,
        names=write_list,
        size=SIZE,
    )


@pytest.fixture
def folder(tmp_path):
    """A folder data set: 3 labelled, 2 unlabelled, 1 val image and 3 classes."""
    for number, name in enumerate(("a", "b", "street/c", "d", "street/e", "f")):
        write_image(tmp_path / "images" / f"{name}.png", seed=number)
    for name in ("a", "b", "street/c", "f"):
        write_mask(tmp_path / "masks" / f"{name}.png", 1)
    write_list(tmp_path / "classes.txt", ["sky", "road", "car"])
    write_list(tmp_path / "val.txt", ["f"])
    return tmp_path


@pytest.fixture
def camvid_root():
    """The real CamVid, where there is one."""
    shared = Path(os.environ.get("USRN_SHARED") or Path(__file__).parents[3] / "shared")
    root = shared / "data" / "camvid"
    if not root.is_dir():
        pytest.skip(f"{root} does not exist")
    return root
