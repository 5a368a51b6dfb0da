"""The answer to a photo: facts, the photo as it is shown, class ids, confidence, and the mask to download.

The parts are those of a form (multipart/form-data), which a page reads with `response.formData()`.
"""

from __future__ import annotations

import json
import secrets
import zlib
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from usrn_keras.report.pictures import fit, labels_png

if TYPE_CHECKING:
    from usrn_keras.serving.photo_model import PhotoModel, SegmentedPhoto

SHOWN_SIDE = 4096  # pixels of the longer side of the photo on the page, at most
JPEG_QUALITY = 92
FASTEST = 1  # compression level; the answer leaves this machine rarely


def answer_form(photo: SegmentedPhoto, model: PhotoModel) -> tuple[str, bytes]:
    """Encode the answer to a photo.

    Args:
        photo: Photo with its prediction.
        model: Model with the names and colours of the classes.

    Returns:
        Content type and bytes of a form with the parts

        - `facts`: JSON, see `photo_facts`.
        - `photo`: JPEG of the photo, reduced to `SHOWN_SIDE`.
        - `ids`: class id of each pixel, row by row, as bytes (little-endian uint16 for more than 256
          classes) in the format of zlib.
        - `confidence`: probability of the class of each pixel, 255 is 1, as bytes in the format of zlib.
        - `mask`: the PNG file that `usrn predict` writes.
    """
    many = len(model.classes) > 256
    shown = fit(photo.image, SHOWN_SIDE, SHOWN_SIDE, enlarge=False)
    jpeg = cv2.imencode(".jpg", shown[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    ids = photo.ids.astype("<u2" if many else np.uint8)
    confidence = np.rint(255 * photo.confidence).astype(np.uint8)
    parts = {
        "facts": ("application/json", json.dumps(photo_facts(photo, model)).encode()),
        "photo": ("image/jpeg", jpeg.tobytes()),
        "ids": ("application/octet-stream", zlib.compress(ids.tobytes(), FASTEST)),
        "confidence": ("application/octet-stream", zlib.compress(confidence.tobytes(), FASTEST)),
        "mask": ("image/png", labels_png(photo.ids, model.palette)),
    }
    return _form(parts)


def photo_facts(photo: SegmentedPhoto, model: PhotoModel) -> dict[str, Any]:
    """Describe a segmented photo: its size, and share and mean confidence of each class that it shows.

    Args:
        photo: Photo with its prediction.
        model: Model with the names of the classes.

    Returns:
        A value for JSON: `name`, `width`, `height`, `seconds`, `notes`, `confidence` (mean over the pixels,
        0..1), `mask_name`, and `classes`: a list of `id`, `name`, `pixels`, `share` and `confidence` of the
        classes with pixels, the largest first.
    """
    ids = photo.ids.ravel()
    pixels = np.bincount(ids, minlength=len(model.classes))
    sums = np.bincount(ids, weights=photo.confidence.ravel(), minlength=len(model.classes))
    height, width = photo.ids.shape
    found = [int(index) for index in np.argsort(-pixels, kind="stable") if pixels[index]]
    return {
        "name": photo.name,
        "width": width,
        "height": height,
        "seconds": round(photo.seconds, 3),
        "notes": list(photo.notes),
        "confidence": float(sums.sum() / ids.size),
        "mask_name": f"{PurePath(photo.name).stem}_mask.png",
        "classes": [
            {
                "id": index,
                "name": model.classes[index],
                "pixels": int(pixels[index]),
                "share": float(pixels[index] / ids.size),
                "confidence": float(sums[index] / pixels[index]),
            }
            for index in found
        ],
    }


def _form(parts: dict[str, tuple[str, bytes]]) -> tuple[str, bytes]:
    boundary = f"part-{secrets.token_hex(16)}"  # long enough to be in no part
    lines: Sequence[bytes] = [
        line
        for name, (kind, content) in parts.items()
        for line in (
            f"--{boundary}\r\n".encode(),
            f'Content-Disposition: form-data; name="{name}"; filename="{name}"\r\n'.encode(),
            f"Content-Type: {kind}\r\n\r\n".encode(),
            content,
            b"\r\n",
        )
    ]
    return f"multipart/form-data; boundary={boundary}", b"".join([*lines, f"--{boundary}--\r\n".encode()])
