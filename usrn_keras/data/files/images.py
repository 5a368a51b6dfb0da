"""Decoding of images and masks.

OpenCV decodes, being the fastest, except where it would change the values of a mask: it turns
palette files into colours and stretches grey files of less than eight bits. Pillow reads those.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from usrn_keras.data.sample import Sample
from usrn_keras.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff")
IGNORED_SUBLABEL = -1
MAX_SUBLABELS = 65535  # ids of 16 bits without the largest, which means ignored

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_GREY = 0
_NO_CLASS = -2  # equal to no label


class MaskRules(Protocol):
    """What the values of a mask mean; every `Dataset` is one."""

    num_classes: int | None
    ignore_index: int
    id_map: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Rules:
    """`MaskRules` without a data set; `num_classes` None leaves the ids unchecked."""

    num_classes: int | None = None
    ignore_index: int = 255
    id_map: np.ndarray | None = None


def read_image(path: Path | str) -> np.ndarray:
    """An image file as RGB, `(height, width, 3)` uint8.

    Grey becomes three equal channels, transparency is dropped, 16 bits are cut to the upper eight,
    and the rotation that EXIF asks for is carried out.

    Raises:
        DataError: the file is missing, empty, damaged, or no image.
    """
    return _decode(path, _read_bytes(path), cv2.IMREAD_COLOR_RGB)


def read_mask(path: Path | str, rules: MaskRules) -> np.ndarray:
    """A mask file as class ids, `(height, width)` uint8 or uint16 (or the type of `rules.id_map`).

    Palette files give their indices, not their colours; grey files of 1 to 16 bits their values.

    Args:
        path: A mask without losses: PNG, BMP or TIFF.
        rules: A `Dataset`, or `Rules(num_classes, ignore_index, id_map)`.

    Raises:
        DataError: the file is missing, damaged or in colour, or holds ids outside the classes.
    """
    ids = _read_ids(path)
    if rules.id_map is not None:
        ids = _map_ids(path, ids, rules)
    if rules.num_classes is not None:
        classes = range(rules.num_classes)
        _refuse_ids_outside(path, ids, classes, rules.ignore_index, f"the {len(classes)} classes")
    return ids


def read_sublabels(path: Path | str) -> np.ndarray:
    """A sublabel file as subclass ids, `(height, width)` int32, -1 where a pixel is to be ignored.

    In the file, ignored pixels have the largest value: 255 with 8 bits, 65535 with 16 bits.
    """
    ids = _read_ids(path)
    ignored = ids == np.iinfo(ids.dtype).max
    ids = ids.astype(np.int32)
    ids[ignored] = IGNORED_SUBLABEL
    return ids


def read_sample(sample: Sample, rules: MaskRules) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask of a sample, of equal height and width.

    Raises:
        DataError: a file cannot be read, or the mask has another size than the image.
    """
    if sample.mask is None:
        raise DataError(f"{sample.image} has no mask")
    image, mask = read_image(sample.image), read_mask(sample.mask, rules)
    check_size(sample.image, image, sample.mask, mask)
    return image, mask


def check_size(image_path: Path, image: np.ndarray, mask_path: Path, mask: np.ndarray) -> None:
    """Raise a `DataError` unless a mask has the height and width of its image."""
    if mask.shape == image.shape[:2]:
        return
    (height, width), (mask_height, mask_width) = image.shape[:2], mask.shape
    swapped = (mask_height, mask_width) == (width, height)
    raise DataError(
        f"{mask_path} is {mask_width}x{mask_height} pixels, its image {image_path} is {width}x{height}",
        hint="The image may carry an EXIF rotation that the mask lacks: rotate the mask."
        if swapped
        else "A mask needs exactly the width and height of its image.",
    )


def check_sublabels(
    path: Path, sublabels: np.ndarray, labels: np.ndarray, parents: np.ndarray, ignore_index: int
) -> None:
    """Raise a `DataError` unless every sublabel is a subclass of the label of its pixel.

    Args:
        path: The sublabel file, for the message.
        sublabels: `(height, width)` int32, -1 where ignored.
        labels: `(height, width)` class ids.
        parents: `(subclasses,)` class of each subclass.
        ignore_index: The label of pixels without a class.
    """
    table = np.full(MAX_SUBLABELS + 1, _NO_CLASS, np.int32)
    table[: len(parents)] = parents
    table[IGNORED_SUBLABEL] = ignore_index  # the last entry
    wrong = np.count_nonzero(table[sublabels] != labels)
    if wrong:
        raise DataError(
            f"{path}: {wrong} of {labels.size} pixels hold no subclass (0 to {len(parents) - 1}) "
            "of their label",
            hint="The file is damaged, or the masks have changed since it was made: "
            "delete the folder 2-subclasses of the run and run the same command again.",
        )


def _read_bytes(path: Path | str) -> np.ndarray:
    try:
        data = np.fromfile(path, np.uint8)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not data.size:
        raise DataError(f"{path} is empty", hint="Copy the file again or take it out of the lists.")
    return data


def _decode(path: Path | str, data: np.ndarray, flags: int) -> np.ndarray:
    try:
        array = cv2.imdecode(data, flags)
    except cv2.error as error:  # such as more pixels than OpenCV's limit, 2**30
        raise _unreadable(path, error.err) from error
    if array is None:
        raise _unreadable(path)
    return array


def _unreadable(path: Path | str, reason: object = "") -> DataError:
    reason = f": {reason}" if reason else ""
    return DataError(
        f"{path} cannot be read as an image{reason}", hint="Copy the file again or take it out of the lists."
    )


def _read_ids(path: Path | str) -> np.ndarray:
    """The values that a mask file stores, uint8 or uint16."""
    data = _read_bytes(path)
    if _is_plain_grey_png(data):
        return _decode(path, data, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH)
    return _read_ids_with_pillow(path, data)


def _is_plain_grey_png(data: np.ndarray) -> bool:
    header = data[:26].tobytes()
    return header.startswith(_PNG_SIGNATURE) and header[24] in (8, 16) and header[25] == _PNG_GREY


def _read_ids_with_pillow(path: Path | str, data: np.ndarray) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(io.BytesIO(data.tobytes()))
            opened.load()
    except UnidentifiedImageError as error:
        raise _unreadable(path) from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Warning) as error:
        raise _unreadable(path, error) from error
    mask = ImageOps.exif_transpose(opened)
    if mask.mode == "1":
        return np.asarray(mask).astype(np.uint8)
    if mask.mode.startswith("I;16"):
        return np.asarray(mask).astype(np.uint16)
    if mask.mode not in ("P", "L"):
        raise DataError(
            f"{path} holds colours ({mask.mode}), a mask must hold one class id per pixel",
            hint="Convert it to a palette or grey PNG whose values are the class ids.",
        )
    return _unstretch(np.asarray(mask), data)


def _unstretch(ids: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Undo Pillow's widening of grey PNG values of 2 or 4 bits to 0..255."""
    header = data[:26].tobytes()
    if header.startswith(_PNG_SIGNATURE) and header[25] == _PNG_GREY:
        return ids // (255 // (2 ** header[24] - 1))
    return ids


def _map_ids(path: Path | str, ids: np.ndarray, rules: MaskRules) -> np.ndarray:
    known = range(len(rules.id_map))
    _refuse_ids_outside(path, ids, known, rules.ignore_index, f"the {len(known)} ids of the data set")
    table = np.full(int(np.iinfo(ids.dtype).max) + 1, rules.ignore_index, rules.id_map.dtype)
    table[known] = rules.id_map
    return table[ids]


def _refuse_ids_outside(
    path: Path | str, ids: np.ndarray, valid: range, ignore_index: int, what: str
) -> None:
    allowed = np.zeros(int(np.iinfo(ids.dtype).max) + 1, bool)
    allowed[: len(valid)] = True
    if ignore_index < len(allowed):
        allowed[ignore_index] = True
    if allowed[ids].all():
        return
    outside = np.unique(ids[~allowed[ids]])
    named = ", ".join(map(str, outside[:10])) + (", ..." if len(outside) > 10 else "")
    raise DataError(
        f"{path} holds ids outside {what}: {named}",
        hint=f"Allowed are 0 to {len(valid) - 1} and ignore_index {ignore_index}; "
        "correct the mask, data.classes or data.ignore_index.",
    )
