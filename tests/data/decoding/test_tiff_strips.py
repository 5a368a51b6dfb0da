"""Damage in compressed TIFFs is an error as far as the compression shows it; sound files are not refused."""

from __future__ import annotations

import io
import random
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.data.decoding.test_jpeg_files import photo
from usrn_keras.data.decoding.decoder_messages import collected_notes
from usrn_keras.data.decoding.images import read_image
from usrn_keras.data.decoding.mask_files import read_raw
from usrn_keras.errors import DataError

COMPRESSIONS = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
DAMAGE = ("flipped bit", "zeros")


def tiff(compression, array=None, **options):
    file = io.BytesIO()
    Image.fromarray(photo() if array is None else array).save(
        file, "TIFF", compression=compression, **options
    )
    return file.getvalue()


def damaged(data, kind, seed):
    """A file with damage in its pixels, which Pillow writes before or after the tags."""
    generator, data = random.Random(seed), bytearray(data)
    (tags,) = struct.unpack_from("<I", data, 4)
    start, stop = (600, len(data)) if tags < 600 else (8, tags)
    if kind == "zeros":
        place = generator.randrange(start, stop - 512)
        data[place : place + 512] = bytes(512)
    else:
        data[generator.randrange(start, stop)] ^= 1 << generator.randrange(8)
    return bytes(data)


def refused(path, data):
    path.write_bytes(data)
    try:
        read_image(path)
    except DataError as error:
        assert "cannot be read as an image: it is damaged (" in error.message
        return True
    return False


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("array", [photo(), photo()[..., 0], photo(33, 57)], ids=["rgb", "grey", "odd"])
def test_sound_files_give_the_pixels_of_opencv(tmp_path, capfd, compression, array):
    data = tiff(compression, array)
    (tmp_path / "a.tif").write_bytes(data)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), expected)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("code", [1, 5, 8, 32773])
def test_files_of_opencv_are_sound(tmp_path, bits, code):
    image = np.random.default_rng(0).integers(0, 2**bits, (40, 30, 3)).astype(f"uint{bits}")
    cv2.imwrite(str(tmp_path / "a.tif"), image, [cv2.IMWRITE_TIFF_COMPRESSION, code])
    values = read_image(tmp_path / "a.tif", value_range=[0, 65535])
    expected = image[..., ::-1] if bits == 8 else np.round(image[..., ::-1] / 257)
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize(
    ("compression", "kind", "least"),
    [
        ("tiff_adobe_deflate", "flipped bit", 20),
        ("tiff_adobe_deflate", "zeros", 20),
        ("tiff_lzw", "zeros", 19),
        ("jpeg", "zeros", 18),
    ],
)
def test_damage_that_the_compression_shows_is_an_error(tmp_path, capfd, compression, kind, least):
    """Of 20 files; OpenCV reads all of them with wrong pixels."""
    found = sum(refused(tmp_path / "a.tif", damaged(tiff(compression), kind, seed)) for seed in range(20))
    assert found >= least
    assert capfd.readouterr().err == ""


def test_masks_are_checked_as_images_are(tmp_path, capfd):
    ids = np.random.default_rng(0).integers(0, 3, (64, 64), dtype=np.uint8)
    (tmp_path / "a.tif").write_bytes(damaged(tiff("tiff_adobe_deflate", ids), "flipped bit", 0))
    with pytest.raises(DataError, match=r"it is damaged \(strip 1 of 1: "):
        read_raw(tmp_path / "a.tif")
    (tmp_path / "b.tif").write_bytes(damaged(tiff("tiff_lzw", ids), "zeros", 0))
    with pytest.raises(DataError, match=r"b\.tif cannot be read as an image: it is damaged \(LZWDecode: "):
        read_raw(tmp_path / "b.tif")
    assert capfd.readouterr().err == ""


def test_a_compression_that_is_not_read_is_named(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff("lzma"))
    with pytest.raises(
        DataError, match=r"a\.tif is a TIFF with LZMA compression, which is not read"
    ) as error:
        read_image(tmp_path / "a.tif")
    assert "tiffcp -c zip" in error.value.hint


def test_a_strip_of_a_bomb_is_not_decompressed_in_full(tmp_path, monkeypatch):
    """An image of one pixel whose strip decompresses to 64 MB."""
    strip = zlib.compress(bytes(2**26))
    tags = {256: 1, 257: 1, 258: 8, 259: 8, 262: 1, 273: 200, 277: 1, 278: 1, 279: len(strip)}
    directory = struct.pack("<H", len(tags)) + b"".join(
        struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()
    )
    (tmp_path / "a.tif").write_bytes((b"II*\0" + struct.pack("<I", 8) + directory).ljust(200, b"\0") + strip)
    calls, make = [], zlib.decompressobj

    class Counting:
        def __init__(self):
            self._decoder = make()
            self.__dict__["eof"] = False

        def decompress(self, data, most):
            part = self._decoder.decompress(data, most)
            calls.append(len(part))
            self.unconsumed_tail, self.eof = self._decoder.unconsumed_tail, self._decoder.eof
            return part

    monkeypatch.setattr(zlib, "decompressobj", Counting)
    assert read_image(tmp_path / "a.tif").tolist() == [[[0, 0, 0]]]
    assert 0 < sum(calls) <= 2**22


def test_what_a_decoder_says_of_a_sound_file_is_a_note(tmp_path, capfd):
    """The name of a program, as fractions."""
    data = bytearray(tiff("tiff_lzw", photo()[..., 0], software="a program"))
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    for place in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, place)[0] == 305:
            struct.pack_into("<H", data, place + 2, 5)
    (tmp_path / "a.tif").write_bytes(data)
    with collected_notes() as notes:
        read_image(tmp_path / "a.tif")
    assert notes == ["its decoder says: Truncated File Read"]
    assert capfd.readouterr().err == ""
