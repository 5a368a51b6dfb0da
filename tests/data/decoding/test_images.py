from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from usrn_keras.data.decoding.decode import MAX_PIXELS
from usrn_keras.data.decoding.images import image_size, read_image
from usrn_keras.errors import DataError

RED = (200, 10, 30)


def test_image_is_rgb(tmp_path):
    Image.new("RGB", (5, 4), RED).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.shape == (4, 5, 3) and image.dtype == np.uint8
    assert (image == RED).all()


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 77, (77, 77, 77)),
        ("RGBA", (*RED, 9), RED),
        ("LA", (77, 9), (77, 77, 77)),
        ("1", 1, (255, 255, 255)),
    ],
)
def test_image_modes_become_rgb(tmp_path, mode, colour, expected):
    Image.new(mode, (5, 4), colour).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == expected).all()


def test_palette_image_gives_its_colours(tmp_path):
    image = Image.new("P", (5, 4), 3)
    image.putpalette([0] * 9 + list(RED))
    image.save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == RED).all()


def test_cmyk_image(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - (255, 0, 0)).max() <= 3


def test_16_bit_image_keeps_the_upper_byte(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 5), 0xAB12, np.uint16))
    assert (read_image(tmp_path / "a.png") == 0xAB).all()


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_exif_rotation_is_carried_out(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x112] = 6  # to be turned by 90 degrees
    Image.new("RGB", (6, 4), RED).save(tmp_path / f"a.{suffix}", exif=exif)
    assert read_image(tmp_path / f"a.{suffix}").shape == (6, 4, 3)


def test_single_pixel_image(tmp_path):
    Image.new("RGB", (1, 1), RED).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (1, 1, 3)


def test_folder_in_place_of_an_image(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_image(tmp_path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "webp"])
@pytest.mark.parametrize(
    ("at_least", "factor"), [(0, 1), (41, 1), (40, 2), (21, 2), (20, 4), (10, 8), (1, 8)]
)
def test_reduced_as_far_as_the_long_side_allows(tmp_path, suffix, at_least, factor):
    ramp = np.repeat(np.arange(80, dtype=np.uint8)[None] * 3, 64, axis=0)
    assert cv2.imwrite(str(tmp_path / f"a.{suffix}"), np.dstack([ramp] * 3))
    image = read_image(tmp_path / f"a.{suffix}", at_least=at_least)
    assert image.shape == (64 // factor, 80 // factor, 3) and image.dtype == np.uint8
    areas = ramp.reshape(-1, 8, 80 // factor, factor).mean(axis=(1, 3))[0]
    assert np.abs(image[1, :, 0] - areas).max() <= 4


@pytest.mark.parametrize("factor", [4, 8])
def test_reduced_images_are_means_of_areas(tmp_path, factor):
    noise = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", at_least=80 // factor)
    means = noise.reshape(64 // factor, factor, 80 // factor, factor, 3).mean(axis=(1, 3))
    assert np.abs(image - means).max() <= 0.51


@pytest.mark.parametrize(
    ("size", "factor"), [((80, 64), 8), ((84, 64), 4), ((80, 62), 2), ((83, 64), 1), ((80, 61), 1)]
)
def test_reduced_only_by_what_divides_both_sides(tmp_path, size, factor):
    exif = Image.Exif()
    exif[0x112] = 6  # turned
    for suffix in ("jpg", "png"):
        Image.new("RGB", size, RED).save(tmp_path / f"a.{suffix}", exif=exif)
        shape = read_image(tmp_path / f"a.{suffix}", at_least=10).shape
        assert shape == (size[0] // factor, size[1] // factor, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "webp"])
def test_size_without_decoding(tmp_path, suffix, monkeypatch):
    Image.new("RGB", (17, 9), RED).save(tmp_path / f"a.{suffix}")
    monkeypatch.setattr(cv2, "imdecode", None)
    assert image_size(tmp_path / f"a.{suffix}") == (9, 17)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_size_is_that_of_the_rotated_image(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.new("RGB", (17, 9), RED).save(tmp_path / f"a.{suffix}", exif=exif)
    assert image_size(tmp_path / f"a.{suffix}") == read_image(tmp_path / f"a.{suffix}").shape[:2]


def test_rotation_that_stands_behind_the_pixels_of_a_png(tmp_path):
    Image.new("RGB", (17, 9), RED).save(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x112] = 8
    chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[:-12] + chunk + data[-12:])
    assert image_size(tmp_path / "a.png") == read_image(tmp_path / "a.png").shape[:2] == (17, 9)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "does not exist"), (b"", "is empty"), (b"no image", "cannot be read")]
)
def test_size_of_a_file_without_readable_content(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.png {message}"):
        image_size(tmp_path / "a.png")


def test_size_of_an_absurdly_large_image(tmp_path, files):
    path = files.grey_png(tmp_path / "a.png", np.zeros((1, 8), np.uint8), 8)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 2**14, 2**14 + 1)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(data)
    with pytest.raises(
        DataError, match=f"16384x16385 pixels according to its header; the limit is {MAX_PIXELS} pixels"
    ):
        image_size(path)
