"""Sound JPEGs give the pixels of OpenCV, damaged ones an error."""

from __future__ import annotations

import io
import random
import re
import time

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from usrn_keras.data.decoding import jpeg_files
from usrn_keras.data.decoding.file_facts import read_facts
from usrn_keras.data.decoding.images import read_image
from usrn_keras.errors import DataError

OPTIONS = (
    *({}, {"quality": 95, "subsampling": 0}, {"subsampling": 1, "quality": 40}),
    *({"progressive": True}, {"restart_marker_rows": 1}),
)


def photo(height=96, width=128, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


def jpeg(mode="RGB", size=(96, 128), **options):
    file = io.BytesIO()
    Image.fromarray(photo(*size)).convert(mode).save(file, "jpeg", **options)
    return file.getvalue()


def damaged(kind, count=40):
    """JPEGs with damage in their pixels."""
    for seed in range(count):
        rng, data = random.Random(seed), bytearray(jpeg(**OPTIONS[seed % len(OPTIONS)]))
        start = data.index(b"\xff\xda") + 20
        if kind == "cut off, with an end":
            data = data[: rng.randrange(start, len(data) - 200)] + b"\xff\xd9"
        else:  # bytes that were never written
            place = rng.randrange(start, len(data) - 600)
            data[place : place + 512] = bytes(512)
        yield bytes(data)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("size", [(96, 128), (97, 131), (1, 1)])
@pytest.mark.parametrize("options", OPTIONS)
def test_sound_files_give_the_pixels_of_opencv(tmp_path, mode, size, options):
    data = jpeg(mode, size, **options)
    (tmp_path / "a.jpg").write_bytes(data)
    stored = np.frombuffer(data, np.uint8)
    expected = cv2.imdecode(stored, cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), expected)
    if size == (96, 128):
        flags = cv2.IMREAD_REDUCED_COLOR_4 & ~cv2.IMREAD_COLOR | cv2.IMREAD_COLOR_RGB
        reduced = read_image(tmp_path / "a.jpg", at_least=32)
        np.testing.assert_array_equal(reduced, cv2.imdecode(stored, flags))


@pytest.mark.parametrize(("kind", "least"), [("cut off, with an end", 38), ("zeros", 34)])
def test_damaged_files_are_errors_instead_of_wrong_pixels(tmp_path, capfd, kind, least):
    refused = 0
    for data in damaged(kind):
        (tmp_path / "a.jpg").write_bytes(data)
        try:
            read_image(tmp_path / "a.jpg")
        except DataError as error:
            refused += 1
            assert "a.jpg cannot be read as an image: it is " in error.message
    assert refused >= least  # of 40; damage may look like other pixels
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("marker", [b"\xff\xdb", b"\xff\xc4", b"\xff\xda", b"\xff\xd9"])
def test_a_few_bytes_between_segments_are_skipped(tmp_path, capfd, options, marker):
    data = jpeg(**options)
    place = data.rindex(marker) if marker == b"\xff\xd9" else data.index(marker)
    (tmp_path / "a.jpg").write_bytes(data[:place] + b"\0\1\2" + data[place:])
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.jpg"), cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    )
    if marker != b"\xff\xd9":
        assert "3 bytes between its segments" in read_facts(tmp_path / "a.jpg").warnings[0]
    assert capfd.readouterr().err == ""


def test_bytes_between_segments_do_not_hide_damage(tmp_path):
    data = jpeg()
    place = data.index(b"\xff\xdb")
    (tmp_path / "a.jpg").write_bytes(data[:place] + b"\0\1\2" + data[place : len(data) // 2] + b"\xff\xd9")
    with pytest.raises(DataError, match=r"it is damaged \(premature end of data segment\)"):
        read_image(tmp_path / "a.jpg")


def test_other_files_of_cameras_are_jpegs(tmp_path):
    """An MPO has a second picture after the first; a JPEG may have bytes after its end."""
    first, second, file = Image.fromarray(photo()), Image.fromarray(photo(seed=1)), io.BytesIO()
    first.save(file, "MPO", save_all=True, append_images=[second])
    (tmp_path / "a.mpo").write_bytes(file.getvalue())
    file = io.BytesIO()
    first.save(file, "JPEG")
    expected = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(read_image(tmp_path / "a.mpo"), expected)


def hostile_header(kind):
    """Some MB before the pixels that are no segments, or segments of two bytes."""
    parts = {"bytes": b"\0" * 2**22, "fill": b"\xff" * 2**22, "gaps": b"\xff\x01\0" * 2**20}
    return jpeg()[:20] + {**parts, "segments": b"\xff\x01" * 2**21}[kind] + jpeg()[20:]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("bytes", r"it is damaged \(more than 65,536 bytes between its segments belong to none\)"),
        ("fill", r"it is damaged \(more than 65,536 bytes between its segments belong to none\)"),
        ("gaps", "it has more than 10,000 segments before its pixels"),
        ("segments", "it has more than 10,000 segments before its pixels"),
    ],
)
def test_a_hostile_header_is_an_error_in_a_moment(tmp_path, kind, reason):
    (tmp_path / "a.jpg").write_bytes(hostile_header(kind))
    start = time.process_time()
    with pytest.raises(DataError, match=f"a.jpg cannot be read as an image: {reason}"):
        read_image(tmp_path / "a.jpg")
    assert time.process_time() - start < 1


def with_byte(data, place):
    return data[:place] + b"\0" + data[place:]


def reported(data):
    try:
        simplejpeg.decode_jpeg(data, "GRAY")
    except ValueError as error:
        return str(error)
    return ""


def test_few_places_of_a_marker_are_tried(tmp_path, monkeypatch):
    """A byte before one of 256 markers 0xd3; the error does not say before which."""
    data = jpeg(size=(512, 1024), restart_marker_blocks=1, quality=95)
    places = [found.start() for found in re.finditer(rb"\xff\xd3", data)]
    of_this_marker = "1 extraneous bytes before marker 0xd3"
    near, far = (
        next(place for place in some if of_this_marker in reported(with_byte(data, place)))
        for some in (places[-jpeg_files.MOST_TRIES :], places[: -jpeg_files.MOST_TRIES])
    )
    tried, decode = [], jpeg_files.simplejpeg.decode_jpeg

    def count(*arguments, **options):
        tried.append(arguments)
        return decode(*arguments, **options)

    monkeypatch.setattr(jpeg_files.simplejpeg, "decode_jpeg", count)
    (tmp_path / "a.jpg").write_bytes(with_byte(data, near))
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), expected)
    tried.clear()
    (tmp_path / "a.jpg").write_bytes(with_byte(data, far))
    with pytest.raises(DataError, match=rf"it is damaged \({of_this_marker}\)"):
        read_image(tmp_path / "a.jpg")
    assert len(tried) == 1 + jpeg_files.MOST_TRIES
