"""Small data sets on disk."""

from __future__ import annotations

import os
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
        image=write_image, mask=write_mask, palette_mask=write_palette_mask, names=write_list, size=SIZE
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
