"""Read the header of JPEG files, and decode them strictly: damaged data are errors, not wrong pixels.

OpenCV and Pillow fill what they cannot decode with grey or with other parts of the image, and only write a
line to stderr. libjpeg-turbo with the option to stop at the first warning gives the same pixels for sound
files, and an error for the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from usrn_keras.data.decoding.decoder_messages import captured_messages
from usrn_keras.data.decoding.unreadable import unreadable_error
from usrn_keras.memory_errors import ran_out_of_memory

JPEG_SIGNATURE = b"\xff\xd8\xff"
_END = b"\xff\xd9"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # segments that contain the size
_TURBO_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive
_SCAN, _APP1 = 0xDA, 0xE1
_ALONE = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})  # markers without a length
_XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\0"
_STRAY = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
# A few bytes before a marker are a habit of some cameras; more are the rest of data that got out of step.
STRAY_BYTES = 4
# Limits for hostile files: no camera writes as much, and each byte, segment or place takes time.
MOST_BETWEEN = 2**16  # bytes between the segments before the pixels, in all
MOST_SEGMENTS = 10_000
MOST_TRIES = 8  # places of a marker that are tried without the bytes before it
TRIED_PIXELS = 2**24  # in all of these tries; one is made in any case
_REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


@dataclass(frozen=True)
class JpegHeader:
    """What the segments before the pixels say.

    Args:
        frame: Marker of the frame, such as 0xC0 (baseline).
        start: Position of the frame in bytes.
        height, width: Stored size in pixels.
        components: Number of bands.
        bits: Bits of a band.
        exif, xmp: Metadata blocks; may be empty.
        stray: Positions of bytes between the segments that belong to none, as (start, stop).
    """

    frame: int
    start: int
    height: int
    width: int
    components: int
    bits: int
    exif: bytes
    xmp: bytes
    stray: tuple[tuple[int, int], ...]


def read_jpeg_header(path: Path | str, data: np.ndarray) -> JpegHeader:
    """Read the segments before the pixels. Bytes between segments are skipped, as decoders do.

    Raises:
        DataError: The file has no frame, or far more segments or bytes between them than cameras write.
    """
    view = memoryview(data)
    exif = xmp = b""
    stray, frame, after = [], None, 2
    for number, (marker, at, stop) in enumerate(_segments(path, view)):
        if number == MOST_SEGMENTS:
            raise unreadable_error(path, f"it has more than {MOST_SEGMENTS:,} segments before its pixels")
        if at > after and any(byte != 0xFF for byte in view[after:at]):  # not only fill bytes
            stray.append((after, at))
        after = stop
        if marker in _FRAMES and frame is None and stop - at >= 10:
            frame = marker, at
        elif marker == _APP1:
            body = bytes(view[at + 4 : stop])
            if body.startswith(b"Exif\0") and not exif:
                exif = body
            elif body.startswith(_XMP_PREFIX) and not xmp:
                xmp = body[len(_XMP_PREFIX) :]
    if frame is None:
        raise unreadable_error(path, "it has no JPEG frame")
    marker, at = frame
    height, width = (int(side) for side in np.frombuffer(view[at + 5 : at + 9], ">u2"))
    return JpegHeader(marker, at, height, width, view[at + 9], view[at + 4], exif, xmp, tuple(stray))


def decode_jpeg(path: Path | str, data: np.ndarray, header: JpegHeader, factor: int = 1) -> np.ndarray:
    """Decode a JPEG to RGB as it is stored.

    Args:
        path: Path of the file, for messages.
        data: Bytes of the file, `(size,)` uint8.
        header: Header of the file.
        factor: Reduction of both sides, 1, 2, 4 or 8, which must divide them.

    Returns:
        `(height, width, 3)` uint8.

    Raises:
        DataError: The file is truncated or damaged.
    """
    if data[-2:].tobytes() != _END and _END not in data[header.start :].tobytes():
        raise unreadable_error(path, "it is truncated, its end is missing")
    data = _without(data, header.stray)
    if header.components not in (1, 3) or header.frame not in _TURBO_FRAMES:
        return _decode_with_opencv(path, data, header, factor)
    sides = {"min_height": header.height // factor, "min_width": header.width // factor}
    options = {**sides, "min_factor": factor} if factor > 1 else {}
    try:
        return _decode_strictly(data, header, "RGB", options)
    except ValueError as error:
        if "subsampling" in str(error):  # a layout of the colours that libjpeg-turbo's simple interface lacks
            return _decode_with_opencv(path, data, header, factor)
        raise unreadable_error(path, f"it is damaged ({_reason(error)})") from error


def _segments(path: Path | str, view: memoryview) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and stop of each segment up to the first scan."""
    position, between = 2, 0
    while True:
        start = position
        while position < len(view) and view[position] != 0xFF and between + position - start <= MOST_BETWEEN:
            position += 1
        while position + 1 < len(view) and view[position + 1] == 0xFF and position - start <= MOST_BETWEEN:
            position += 1  # fill bytes
        between += position - start
        if between > MOST_BETWEEN:
            reason = f"more than {MOST_BETWEEN:,} bytes between its segments belong to none"
            raise unreadable_error(path, f"it is damaged ({reason})")
        if position + 4 > len(view):
            return
        marker = view[position + 1]
        if marker == 0:
            position, between = position + 2, between + 2
            continue
        length = 0 if marker in _ALONE else view[position + 2] << 8 | view[position + 3]
        yield marker, position, position + 2 + length
        if marker == _SCAN or (length < 2 and marker not in _ALONE):
            return
        position += 2 + length


def _without(data: np.ndarray, parts: tuple[tuple[int, int], ...]) -> np.ndarray:
    """The data without some parts, which are in their order."""
    if not parts:
        return data
    starts, stops = zip(*parts, strict=True)
    kept = zip((0, *stops), (*starts, len(data)), strict=True)
    return np.concatenate([data[start:stop] for start, stop in kept])


def _decode_strictly(
    data: np.ndarray, header: JpegHeader, colours: str, options: dict[str, int]
) -> np.ndarray:
    """Decode with every warning as an error, except a few stray bytes before a marker.

    libjpeg-turbo says which marker has bytes before it, not which of several: the last ones are tried.
    """
    try:
        return simplejpeg.decode_jpeg(data, colours, **options)
    except ValueError as error:
        stray, reported = _STRAY.search(str(error)), error
        if not stray or int(stray[1]) > STRAY_BYTES:
            raise
    count, marker, content = int(stray[1]), bytes([0xFF, int(stray[2], 16)]), data.tobytes()
    tries = max(1, min(MOST_TRIES, TRIED_PIXELS // (header.height * header.width)))
    place = len(content)
    for _ in range(tries):
        place = content.rfind(marker, header.start, place)
        if place < 0:
            break
        try:
            return simplejpeg.decode_jpeg(content[: place - count] + content[place:], colours, **options)
        except ValueError:
            continue
    raise reported


def _decode_with_opencv(path: Path | str, data: np.ndarray, header: JpegHeader, factor: int) -> np.ndarray:
    if header.components == 4 and header.frame in _TURBO_FRAMES:
        try:  # OpenCV converts CMYK, but does not report damage
            _decode_strictly(data, header, "CMYK", {})
        except ValueError as error:
            if "subsampling" not in str(error):
                raise unreadable_error(path, f"it is damaged ({_reason(error)})") from error
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    if factor > 1:  # the flags combine the factor of the reduction and the colour format
        flags |= _REDUCED[factor] & ~cv2.IMREAD_COLOR
    failure = array = None
    with captured_messages() as lines:  # OpenCV reports damage in no other way
        try:
            array = cv2.imdecode(data, flags)
        except cv2.error as error:
            if ran_out_of_memory(error):
                raise
            failure = error
    if array is None or lines:
        reason = f"it is damaged ({lines[0].removeprefix('Corrupt JPEG data: ')})" if lines else ""
        raise unreadable_error(path, reason or (failure.err if failure else "")) from failure
    return array


def _reason(error: ValueError) -> str:
    return str(error).removeprefix("Corrupt JPEG data: ")
