from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from usrn_keras.data.decoding.mask_files import read_raw
from usrn_keras.errors import DataError


@pytest.mark.parametrize(
    ("mode", "suffix", "stored"),
    [
        ("1", "png", "1"),
        ("L", "png", "L"),
        ("L", "bmp", "L"),
        ("L", "tif", "L"),
        ("I;16", "png", "I;16"),
        ("I;16", "tif", "I;16"),
        ("I", "tif", "I"),
        ("LA", "png", "LA"),
    ],
)
def test_values_of_grey_files(tmp_path, mode, suffix, stored):
    image = Image.new(mode, (3, 2))
    image.putpixel((2, 1), (1, 7) if mode == "LA" else 1)
    image.save(tmp_path / f"a.{suffix}")
    raw = read_raw(tmp_path / f"a.{suffix}")
    assert (raw.mode, raw.palette) == (stored, None)
    assert raw.values.dtype in (np.uint8, np.uint16)
    np.testing.assert_array_equal(raw.values, [[0, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize("suffix", ["png", "gif", "bmp", "tif"])
def test_indices_and_colours_of_palette_files(tmp_path, suffix):
    image = Image.new("P", (3, 2))
    image.putpalette([9, 8, 7, 255, 0, 1, 4, 5, 6])
    image.putdata([0, 1, 2, 2, 1, 0])
    image.save(tmp_path / f"a.{suffix}")
    raw = read_raw(tmp_path / f"a.{suffix}")
    assert raw.mode == "P" and raw.values.dtype == np.uint8
    np.testing.assert_array_equal(raw.values, [[0, 1, 2], [2, 1, 0]])
    np.testing.assert_array_equal(raw.palette[:3], [[9, 8, 7], [255, 0, 1], [4, 5, 6]])


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_colours(tmp_path, mode, suffix):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, len(mode)), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    raw = read_raw(tmp_path / f"a.{suffix}")
    assert raw.palette is None and raw.values.dtype == np.uint8
    np.testing.assert_array_equal(raw.values, pixels[..., :3])


def test_transparency_of_a_palette_is_dropped(tmp_path):
    image = Image.new("P", (2, 1), 1)
    image.putpalette([0, 0, 0, 9, 9, 9])
    image.save(tmp_path / "a.png", transparency=1)
    raw = read_raw(tmp_path / "a.png")
    np.testing.assert_array_equal(raw.values, [[1, 1]])
    np.testing.assert_array_equal(raw.palette[1], [9, 9, 9])


def test_a_jpeg_is_no_mask_whatever_its_name(tmp_path):
    for kind in ("JPEG", "WEBP"):
        Image.new("L", (8, 8)).save(tmp_path / "a.png", kind)
        with pytest.raises(
            DataError, match=r"a\.png is a JPEG or WebP file: these formats change the values"
        ):
            read_raw(tmp_path / "a.png")


@pytest.mark.parametrize(("mode", "value"), [("F", 0.5), ("CMYK", 0), ("I", 70_000), ("I", -1)])
def test_values_that_no_mask_can_hold(tmp_path, mode, value):
    Image.new(mode, (3, 2), value).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif cannot be a mask: it is a TIFF of"):
        read_raw(tmp_path / "a.tif")
