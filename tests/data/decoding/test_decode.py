from __future__ import annotations

import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from usrn_keras.data.decoding.decode import MAX_PIXELS
from usrn_keras.data.decoding.file_facts import read_facts
from usrn_keras.data.decoding.images import image_size, read_image
from usrn_keras.data.decoding.mask_files import read_raw, read_sublabels
from usrn_keras.data.masks import Rules, read_mask
from usrn_keras.errors import DataError

READERS = [read_image, lambda path: read_mask(path, Rules()), read_sublabels]


def _noise(height=96, width=128):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _encoded(suffix, **options):
    file = io.BytesIO()
    Image.fromarray(_noise()).save(file, suffix, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"), [(None, "does not exist"), (b"", "is empty"), (b"no image", "cannot be read")]
)
@pytest.mark.parametrize("read", READERS)
def test_file_without_readable_content(tmp_path, content, message, read):
    path = tmp_path / "broken.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"broken.png {message}"):
        read(path)


@pytest.mark.parametrize("suffix", ["png", "jpeg", "bmp", "tiff", "webp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
def test_truncated_image(tmp_path, suffix, share):
    data = _encoded(suffix)
    (tmp_path / "a").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match="a cannot be read as an image"):
        read_image(tmp_path / "a")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 100, "subsampling": 0}])
def test_jpeg_without_its_end_is_said_to_be_truncated(tmp_path, options):
    data = _encoded("jpeg", **options)
    (tmp_path / "a.jpg").write_bytes(data[:-2])
    with pytest.raises(DataError, match=r"a\.jpg cannot be read as an image: it is truncated"):
        read_image(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes(
        data[: len(data) // 2] + bytes(len(data) // 2)
    )  # a download that stopped
    with pytest.raises(DataError, match="truncated"):
        read_image(tmp_path / "a.jpg")


def test_the_end_of_a_thumbnail_is_not_that_of_the_image(tmp_path):
    data = _encoded("jpeg")
    segment = b"\xff\xe1" + struct.pack(">H", len(data) + 8) + b"Exif\0\0" + data
    (tmp_path / "a.jpg").write_bytes(data[:2] + segment + data[2 : len(data) // 2])
    with pytest.raises(DataError, match="truncated"):
        read_image(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes(data[:2] + segment + data[2:])
    assert read_image(tmp_path / "a.jpg").shape == (96, 128, 3)


@pytest.mark.parametrize("suffix", ["jpeg", "png"])
def test_data_behind_the_end_does_no_harm(tmp_path, suffix):
    (tmp_path / "a").write_bytes(_encoded(suffix) + b"what a camera appends" * 3)
    assert read_image(tmp_path / "a").shape == (96, 128, 3)


@pytest.mark.parametrize("kind", ["palette", "grey", "colours"])
def test_truncated_mask(tmp_path, files, kind):
    ids = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    write = {
        "palette": files.palette_mask,
        "grey": files.mask,
        "colours": lambda path, _: files.image(path, (64, 64)),
    }
    path = write[kind](tmp_path / "a.png", ids)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match="cannot be read"):
        read_mask(path, Rules())


def test_a_damaged_file_leaves_no_line_on_stderr(tmp_path, capfd):
    for suffix in ("jpeg", "png", "bmp", "tiff", "webp"):
        data = _encoded(suffix)
        (tmp_path / "a").write_bytes(data[: len(data) // 2])
        with pytest.raises(DataError):
            read_image(tmp_path / "a")
    assert capfd.readouterr().err == ""


def _claim(data, suffix, height, width):
    """The file with another size in its header."""
    data = bytearray(data)
    if suffix == "png":
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    elif suffix == "jpeg":
        frame = data.index(b"\xff\xc0")
        data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    elif suffix == "bmp":
        data[18:26] = struct.pack("<ii", width, height)
    elif suffix == "gif":
        data[6:10] = struct.pack("<HH", width, height)
    else:
        data = bytearray(
            _encoded("tiff").replace(
                struct.pack("<HHII", 256, 4, 1, 128), struct.pack("<HHII", 256, 4, 1, width)
            )
        )
        data = data.replace(struct.pack("<HHII", 257, 4, 1, 96), struct.pack("<HHII", 257, 4, 1, height))
    return bytes(data)


@pytest.mark.parametrize("suffix", ["png", "jpeg", "bmp", "tiff"])
def test_absurdly_large_image_is_refused_before_it_is_decoded(tmp_path, suffix, monkeypatch):
    (tmp_path / "a").write_bytes(_claim(_encoded(suffix), suffix, 60_000, 50_000))
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(
        DataError,
        match=rf"50000x60000 pixels according to its header; the limit is {MAX_PIXELS} pixels \(2\*\*28\)",
    ):
        read_image(tmp_path / "a")


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [*((suffix, mode) for suffix in ("png", "bmp", "tiff") for mode in ("L", "P", "RGB")), ("gif", "P")],
)
def test_absurdly_large_mask_is_refused(tmp_path, suffix, mode):
    file = io.BytesIO()
    Image.fromarray(_noise()).convert(mode).save(file, suffix)
    data = _claim(file.getvalue(), suffix, 60_000, 50_000)
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(DataError, match="50000x60000 pixels according to its header; the limit is"):
        read_mask(tmp_path / "a", Rules())


@pytest.mark.parametrize("suffix", ["png", "jpeg", "bmp", "tiff", "webp"])
def test_stored_size(tmp_path, suffix):
    (tmp_path / "a").write_bytes(_encoded(suffix))
    assert read_facts(tmp_path / "a").stored == (96, 128)


def test_fill_bytes_and_segments_before_the_frame_of_a_jpeg(tmp_path):
    data = _encoded("jpeg")
    (tmp_path / "a.jpg").write_bytes(data[:2] + b"\xff\xfe\x00\x05abc" + b"\xff\xff" + data[2:])
    assert read_facts(tmp_path / "a.jpg").stored == (96, 128)


@pytest.mark.parametrize("suffix", ["png", "jpeg", "bmp", "tiff", "webp", "gif"])
def test_whatever_is_damaged_there_is_one_kind_of_error(tmp_path, suffix):
    rng = np.random.default_rng(7)
    data = np.frombuffer(_encoded(suffix), np.uint8)
    refused = 0
    for _ in range(30):
        damaged = data.copy()
        damaged[rng.integers(0, 200, 8)] = rng.integers(0, 256, 8)
        (tmp_path / "a").write_bytes(damaged.tobytes())
        for read in (*READERS, image_size):
            try:
                read(tmp_path / "a")
            except DataError:
                refused += 1
    assert refused > 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
@pytest.mark.parametrize("read", [read_image, image_size, read_raw])
def test_a_named_pipe_is_refused_instead_of_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"x\.png cannot be read as an image: it is not a regular file"):
        read(tmp_path / "x.png")
