"""Read images as RGB or as the bands of a recipe, as they are shown, whole or reduced."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from usrn_keras.data.channel_groups import by_channel_groups
from usrn_keras.data.decoding.decode import decode, decode_with_pillow, read_bytes
from usrn_keras.data.decoding.file_facts import FileFacts, read_facts
from usrn_keras.data.decoding.jpeg_files import decode_jpeg, read_jpeg_header
from usrn_keras.data.decoding.orientation import turn
from usrn_keras.data.decoding.png_files import pixels_only
from usrn_keras.data.decoding.tiff_bands import read_tiff_bands
from usrn_keras.data.decoding.tiff_strips import check_strips, unread_compression
from usrn_keras.data.decoding.unreadable import unread_compression_error, unreadable_error
from usrn_keras.errors import DataError
from usrn_keras.recipe.bands import Bands

JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".mpo")
IMAGE_SUFFIXES = (*JPEG_SUFFIXES, ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")


class ImageKindError(DataError):
    """A sound image has bands or numbers that are not read."""


def read_image(
    path: Path | str,
    *,
    at_least: int = 0,
    value_range: Sequence[int] | None = None,
    bands: Bands | None = None,
) -> np.ndarray:
    """Read an image file as RGB, or its bands.

    Without `bands`, grey is converted to three equal channels, and transparency and further bands after the
    first three are dropped. The orientation in EXIF or XMP is applied. Of a file with several pictures, the
    first is read.

    Args:
        path: Path of a JPEG, PNG, BMP, TIFF, WebP or GIF file.
        at_least: Long side in pixels that is sufficient: the image may be reduced by 2, 4 or 8 if its long
            side stays at least this large and the factor divides both sides. A JPEG is decoded at the
            reduced size, other formats are averaged over areas. 0 reads the whole image.
        value_range: Values of 16-bit images that become 0 and 255; values between them are scaled, values
            outside are clipped. None keeps the upper eight bits. Images of 8 bits are not changed.
        bands: Bands to read; None for red, green and blue.

    Returns:
        `(height, width, 3)` uint8, or `(height, width, bands)`.

    Raises:
        DataError: The file is missing, empty, damaged, truncated, not an image, has other bands or numbers
            than those of images or of `bands`, or has more than `MAX_PIXELS`.
    """
    return decode_image(path, read_bytes(path), at_least=at_least, value_range=value_range, bands=bands)


def decode_image(
    path: Path | str,
    data: np.ndarray,
    *,
    at_least: int = 0,
    value_range: Sequence[int] | None = None,
    bands: Bands | None = None,
) -> np.ndarray:
    """Decode the bytes of an image file as `read_image` does.

    Args:
        path: Name of the file, for messages.
        data: Bytes of the file, `(size,)` uint8, at least one.
        at_least, value_range, bands: As those of `read_image`.

    Returns:
        `(height, width, 3)` uint8, or `(height, width, bands)`.

    Raises:
        DataError: As those of `read_image`.
    """
    facts = read_facts(path, data)
    check_image_kind(path, facts, value_range, bands=bands)
    factor = _reduction(facts, at_least) if at_least else 1
    if bands is not None and facts.format in _BANDED:
        image = _reduce(_decode_bands(path, data, facts, value_range, bands), factor)
    elif facts.format == "JPEG":
        image = decode_jpeg(path, data, read_jpeg_header(path, data), factor)
    else:
        image = _reduce(_decode(path, data, facts, value_range), factor)
    if bands is not None and facts.format not in _BANDED:
        image = _chosen(image, bands)
    image = _turned(image, facts, bands)
    _check_shape(path, image, facts, factor, 3 if bands is None else bands.count)
    return image


def image_size(path: Path | str, bands: Bands | None = None) -> tuple[int, int]:
    """Read the height and width of `read_image(path)` from the header, without decoding the image.

    Args:
        path: Path of an image file.
        bands: Bands of the recipe; None for red, green and blue.

    Raises:
        DataError: The file is missing, not an image, has other bands, or has more than `MAX_PIXELS`.
    """
    facts = read_facts(path)
    check_image_kind(path, facts, any_range=True, bands=bands)
    return facts.size


def check_image_kind(
    path: Path | str,
    facts: FileFacts,
    value_range: Sequence[int] | None = None,
    *,
    any_range: bool = False,
    bands: Bands | None = None,
) -> None:
    """Check that the bands and numbers of a file are those of an image that is read.

    Args:
        path: Path of the file, for the message.
        facts: Facts about the file.
        value_range: Value range of 16-bit images, or None.
        any_range: Whether a value range may be known later, as in `usrn init`.
        bands: Bands of the recipe; None for red, green and blue.

    Raises:
        ImageKindError: The image has other bands, bits or numbers.
    """
    signed = facts.kind == "signed" and facts.bits == 16
    readable = facts.kind == "unsigned" or (signed and facts.format == "TIFF")
    if bands is not None:
        _check_bands(path, facts, bands)
    has_colours = bands is not None or facts.bands in (1, 2, 3, 4)
    allowed = (1, 2, 4, 8, 16) if bands is None or _is_read_as_colours(facts) else (8, 16)
    if not has_colours or not readable or facts.bits not in allowed:
        raise ImageKindError(
            f"{path} is a {facts}; images of 1, 3 or 4 bands of 8 or 16 bits are read (of 4 bands the first "
            "three, as red, green and blue), or the bands that data.bands names",
            hint=_how_to_convert(facts),
        )
    if facts.format == "JPEG" and facts.bits != 8:
        raise DataError(
            f"{path} is a {facts}; JPEGs of 8 bits are read", hint="Convert it to a PNG or TIFF of 16 bits."
        )
    if signed and value_range is None and not any_range:
        raise DataError(
            f"{path} is a {facts}; which of its values is black and which is white is not known",
            hint="Set data.value_range, such as [0, 4095]; `usrn init` proposes it from the data.",
        )


def read_values(path: Path | str, bands: Bands | None = None) -> np.ndarray:
    """Read the stored values of a 16-bit image, `(height, width, bands)` uint16 or int16, not turned.

    Args:
        path: Path of the file.
        bands: Bands to read; None for red, green and blue.

    Raises:
        DataError: The file cannot be read.
    """
    data = read_bytes(path)
    facts = read_facts(path, data)
    check_image_kind(path, facts, any_range=True, bands=bands)
    if bands is not None and facts.format in _BANDED:
        return _stored_bands(path, data, facts, bands)
    return _decode_deep(path, _checked(path, data, facts))


_BANDED = ("PNG", "TIFF")  # formats whose bands are read one by one


def _band_count(facts: FileFacts) -> int:
    """Number of bands that a recipe can name: those stored, the colours of a palette, or those decoded."""
    if facts.palette:
        return 3
    return facts.bands if facts.format in _BANDED or facts.bands == 1 else 3


def _check_bands(path: Path | str, facts: FileFacts, bands: Bands) -> None:
    """Check that a file has the bands of the recipe."""
    found = _band_count(facts)
    needed = bands.total or max(bands.numbers)
    if found < needed or (bands.total is not None and found != bands.total):
        what = f"exactly {needed}" if bands.total else f"at least {needed}"
        raise ImageKindError(
            f"{path} is a {facts}; data.bands asks for files of {what} bands: {bands}",
            hint="Remove files of other bands from the lists, or give the numbers of the bands to use, "
            'such as ["red=1", "green=2", "blue=3", "nir=4"]; an empty data.bands reads red, green and blue.',
        )


def _decode_bands(
    path: Path | str, data: np.ndarray, facts: FileFacts, value_range: Sequence[int] | None, bands: Bands
) -> np.ndarray:
    """Decode the bands of a PNG or TIFF to 8 bits, `(height, width, bands)`."""
    if _is_read_as_colours(facts):
        return _chosen(_decode(path, data, facts, value_range), bands)
    values = _stored_bands(path, data, facts, bands)
    if values.dtype == np.uint8:
        return values
    if value_range is None:
        return (values >> 8).astype(np.uint8)
    return _range_table(*value_range, values.dtype.str)[values.view(np.uint16)]


def _is_read_as_colours(facts: FileFacts) -> bool:
    """Whether grey, RGB or a palette is decoded as without `data.bands`, so that the pixels are the same."""
    return facts.palette or facts.bands in (1, 3)


def _stored_bands(path: Path | str, data: np.ndarray, facts: FileFacts, bands: Bands) -> np.ndarray:
    """Read the stored values of bands, `(height, width, bands)` uint8, uint16 or int16."""
    if _is_read_as_colours(facts):
        return _chosen(_decode_deep(path, _checked(path, data, facts)), bands)
    if facts.format == "TIFF":
        check_strips(path, data)
        return read_tiff_bands(path, data, bands.numbers)
    # OpenCV gives blue, green, red and transparency, also for grey with transparency.
    values = decode(path, pixels_only(path, data), cv2.IMREAD_UNCHANGED)
    order = (2, 1, 0, 3) if facts.bands == 4 else (0, 3)
    return np.ascontiguousarray(values[..., [order[number - 1] for number in bands.numbers]])


def _chosen(image: np.ndarray, bands: Bands) -> np.ndarray:
    """Choose bands of decoded colours; a grey image has equal colours."""
    return np.ascontiguousarray(image[..., [number - 1 for number in bands.numbers]])


def _turned(image: np.ndarray, facts: FileFacts, bands: Bands | None) -> np.ndarray:
    """Turn an image as it is shown; `read_tiff_bands` does not, unlike the decoders of other TIFFs."""
    is_raw = bands is not None and facts.format == "TIFF" and not _is_read_as_colours(facts)
    orientation = facts.orientation if is_raw else facts.turn
    return by_channel_groups(lambda part: turn(part, orientation), image)


def _decode(
    path: Path | str, data: np.ndarray, facts: FileFacts, value_range: Sequence[int] | None
) -> np.ndarray:
    if facts.format == "GIF":
        return np.asarray(decode_with_pillow(path, data, "GIF").convert("RGB"))
    data = _checked(path, data, facts)
    if value_range is None or facts.bits != 16:
        return decode(path, data, cv2.IMREAD_COLOR_RGB)
    values = _decode_deep(path, data)
    return _range_table(*value_range, values.dtype.str)[values.view(np.uint16)]


def _checked(path: Path | str, data: np.ndarray, facts: FileFacts) -> np.ndarray:
    """Check the parts of a PNG or TIFF that have checksums, and return what is to be decoded."""
    if facts.format == "PNG":
        return pixels_only(path, data)
    if facts.format == "TIFF":
        if unread := unread_compression(data):
            raise unread_compression_error(path, unread)
        check_strips(path, data)
    return data


def _decode_deep(path: Path | str, data: np.ndarray) -> np.ndarray:
    # For RGB TIFFs of 16 bits, IMREAD_COLOR_RGB of OpenCV 5 returns memory that was never written.
    return np.ascontiguousarray(decode(path, data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)[..., ::-1])


@lru_cache(maxsize=4)
def _range_table(low: int, high: int, dtype: str) -> np.ndarray:
    """Build the table from 16-bit values, read as unsigned, to 0..255: `(65536,)` uint8."""
    values = np.arange(65536, dtype=np.uint16).view(dtype).astype(np.float64)
    return np.round(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _reduce(image: np.ndarray, factor: int) -> np.ndarray:
    if factor == 1:
        return image
    height, width = (side // factor for side in image.shape[:2])
    return by_channel_groups(
        lambda part: cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), image
    )


def _reduction(facts: FileFacts, at_least: int) -> int:
    height, width = facts.stored
    # A factor that does not divide a side would round it up, and the image would not match its mask.
    fitting = (factor for factor in (8, 4, 2) if height % factor == 0 and width % factor == 0)
    return next((factor for factor in fitting if max(height, width) >= factor * at_least), 1)


def _check_shape(path: Path | str, image: np.ndarray, facts: FileFacts, factor: int, bands: int) -> None:
    """Check that the pixels have the size in the header, which masks are checked against."""
    height, width = (side // factor for side in facts.size)
    if image.shape != (height, width, bands):
        raise unreadable_error(
            path, f"its header says {width}x{height} pixels, it has {image.shape[1]}x{image.shape[0]}"
        )


def _how_to_convert(facts: FileFacts) -> str:
    if facts.kind != "unsigned" or facts.bits > 16:
        how = "gdal_translate -ot UInt16 -scale MIN MAX 0 65535 IN.tif OUT.tif"
        return f"Write the values as integers of 8 or 16 bits, all files with the same scale: `{how}`."
    how = "gdal_translate -b 1 -b 2 -b 3 IN.tif OUT.tif"
    return (
        f"Set data.bands to the bands to use, such as {[*range(1, facts.bands + 1)]}; or write the three "
        f"bands that show red, green and blue to files of their own: `{how}`."
    )
