"""The bands of a file are those that were written, whatever the layout; other files say what they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.data.band_files import write_tiff
from tests.tools import shared
from usrn_keras.data.decoding.images import image_size, read_image
from usrn_keras.errors import DataError
from usrn_keras.recipe.bands import parse_bands

ORIENTATION, COMPRESSION = 274, 259


def noise(bands, dtype=np.uint8, size=(33, 50)):
    rng = np.random.default_rng(bands)
    return rng.integers(0, np.iinfo(dtype).max, (*size, bands), endpoint=True).astype(dtype)


def all_of(bands):
    return parse_bands([*range(1, bands + 1)])


@pytest.mark.parametrize("bands", [2, 4, 6])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"tile": 32},
        {"deflate": True, "predictor": True},
        {"deflate": True, "predictor": True, "tile": 32, "order": ">"},
        {"order": ">", "big": True},
    ],
    ids=str,
)
def test_every_layout_gives_the_bands_that_were_written(tmp_path, bands, dtype, planar, layout):
    image = noise(bands, dtype)
    path = write_tiff(tmp_path / "a.tif", image, planar=planar, **layout)
    expected = image if dtype == np.uint8 else (image >> 8).astype(np.uint8)
    np.testing.assert_array_equal(read_image(path, bands=all_of(bands)), expected)
    some = parse_bands([bands, 1])
    np.testing.assert_array_equal(read_image(path, bands=some), expected[..., [bands - 1, 0]])


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_16_bits_are_scaled_by_the_value_range(tmp_path, dtype):
    image = noise(4, dtype)
    path = write_tiff(tmp_path / "a.tif", image, planar=True)
    expected = np.round(np.clip((image.astype(float) + 100) / 8000, 0, 1) * 255).astype(np.uint8)
    found = read_image(path, bands=all_of(4), value_range=(-100, 7900))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_bands_are_turned_and_reduced_like_images(tmp_path, orientation):
    image = noise(6, size=(32, 48))
    path = write_tiff(tmp_path / "a.tif", image, tags={ORIENTATION: (3, [orientation])})
    turned = {1: image, 3: image[::-1, ::-1], 6: np.rot90(image, -1)}[orientation]
    found = read_image(path, bands=all_of(6))
    np.testing.assert_array_equal(found, turned)
    assert image_size(path, all_of(6)) == turned.shape[:2]
    reduced = read_image(path, bands=all_of(6), at_least=12)
    means = turned.reshape(turned.shape[0] // 4, 4, turned.shape[1] // 4, 4, 6).mean(axis=(1, 3))
    assert reduced.shape == means.shape and np.abs(reduced - means).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("bits", [8, 16])
def test_transparency_of_a_png_is_a_band_if_a_recipe_names_it(tmp_path, mode, bits):
    image = noise(4, np.uint16 if bits == 16 else np.uint8)
    if mode == "LA":
        if bits == 16:
            pytest.skip("Pillow writes grey with transparency in 8 bits")
        image = image[..., :2]
        Image.fromarray(image, mode="LA").save(tmp_path / "a.png")
    else:
        assert cv2.imwrite(str(tmp_path / "a.png"), image[..., [2, 1, 0, 3]])
    expected = image if bits == 8 else (image >> 8).astype(np.uint8)
    found = read_image(tmp_path / "a.png", bands=all_of(image.shape[-1]))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_grey_is_one_band_with_the_pixels_of_grey_images(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise(1)[..., 0]).save(path)
    found = read_image(path, bands=parse_bands(["grey"]))
    assert found.shape == (33, 50, 1)
    np.testing.assert_array_equal(found[..., 0], read_image(path)[..., 0])


def test_named_bands_of_rgb_are_the_pixels_without_them(tmp_path):
    Image.fromarray(noise(3)).save(tmp_path / "a.jpg")
    whole = read_image(tmp_path / "a.jpg")
    bands = parse_bands(["blue=3", "red=1"])
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg", bands=bands), whole[..., [2, 0]])


@pytest.mark.parametrize(
    ("entries", "what"),
    [
        (["red", "green", "blue"], "exactly 3 bands"),
        ([1, 5], "at least 5 bands"),
        (["a", "b", "c", "d", "e"], "exactly 5 bands"),
    ],
)
def test_a_file_of_other_bands_says_what_it_is_and_what_is_asked(tmp_path, entries, what):
    path = write_tiff(tmp_path / "a.tif", noise(4))
    for read in (
        lambda: read_image(path, bands=parse_bands(entries)),
        lambda: image_size(path, parse_bands(entries)),
    ):
        with pytest.raises(DataError, match=rf"a\.tif is a TIFF of 4 bands of 8 bits; .* {what}") as raised:
            read()
        assert "nir=4" in raised.value.hint


def test_a_cut_off_file_is_an_error(tmp_path):
    path = write_tiff(tmp_path / "a.tif", noise(6), tags={279: (4, [10**6] * 7)})
    with pytest.raises(DataError, match="truncated"):
        read_image(path, bands=all_of(6))


def test_another_compression_is_named(tmp_path):
    path = write_tiff(tmp_path / "a.tif", noise(6), tags={COMPRESSION: (3, [50000])})
    with pytest.raises(DataError, match="TIFF compression 50000") as raised:
        read_image(path, bands=all_of(6))
    assert "COMPRESS=DEFLATE" in raised.value.hint


def test_six_bands_of_a_shared_case_are_read(tmp_path):
    path = shared("cases/bands_tiff/six_bands/t00.tif")
    found = read_image(path, bands=all_of(6))
    assert found.shape == (*image_size(path, all_of(6)), 6)
    planes = shared("cases/bands_tiff/four_planes/t00.tif")
    np.testing.assert_array_equal(read_image(planes, bands=all_of(4))[..., :3], read_image(planes))
