"""Write TIFFs of any number of bands as the TIFF 6.0 specification describes them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

CODES = {3: "H", 4: "I"}


def write_tiff(
    path: Path,
    image: np.ndarray,
    *,
    planar: bool = False,
    tile: int = 0,
    deflate: bool = False,
    predictor: bool = False,
    order: str = "<",
    big: bool = False,
    tags: dict[int, tuple[int, list[int]]] | None = None,
) -> Path:
    """Write `(height, width, bands)` uint8, uint16 or int16; `tags` replaces or adds tags."""
    height, width, bands = image.shape
    parts = [
        _packed(part, order, deflate, predictor)
        for plane in ([image[..., [band]] for band in range(bands)] if planar else [image])
        for part in _parts(plane, tile)
    ]
    start = 16 if big else 8
    places, lengths = np.cumsum([start, *map(len, parts)])[:-1].tolist(), [len(part) for part in parts]
    where = {322: (3, [tile]), 323: (3, [tile]), 324: (4, places), 325: (4, lengths)}
    where = where if tile else {273: (4, places), 278: (3, [5]), 279: (4, lengths)}
    entries = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [8 * image.dtype.itemsize] * bands),
        259: (3, [8 if deflate else 1]),
        262: (3, [1]),
        277: (3, [bands]),
        284: (3, [2 if planar else 1]),
        317: (3, [2 if predictor else 1]),
        339: (3, [2 if image.dtype.kind == "i" else 1] * bands),
        **where,
        **(tags or {}),
    }
    body = b"".join(parts)
    body += bytes(len(body) % 2)
    pointer, count = ("Q", "Q") if big else ("I", "H")
    at = start + len(body)
    head = struct.pack(f"{order}HHHQ", 43, 8, 0, at) if big else struct.pack(f"{order}HI", 42, at)
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = b"II" if order == "<" else b"MM"
    path.write_bytes(mark + head + body + _directory(entries, at, order, pointer, count))
    return path


def _parts(plane: np.ndarray, tile: int) -> list[np.ndarray]:
    height, width = plane.shape[:2]
    if not tile:
        return [plane[row : row + 5] for row in range(0, height, 5)]
    padded = np.pad(plane, [(0, -height % tile), (0, -width % tile), (0, 0)])
    return [
        padded[row : row + tile, column : column + tile]
        for row in range(0, height, tile)
        for column in range(0, width, tile)
    ]


def _packed(part: np.ndarray, order: str, deflate: bool, predictor: bool) -> bytes:
    if predictor:
        part = np.diff(part, axis=1, prepend=np.zeros_like(part[:, :1]))
    data = part.astype(part.dtype.newbyteorder(order)).tobytes()
    return zlib.compress(data) if deflate else data


def _directory(entries: dict, at: int, order: str, pointer: str, count: str) -> bytes:
    room = struct.calcsize(f"={pointer}")
    after = at + struct.calcsize(f"={count}") + (4 + 2 * room) * len(entries) + room
    found, blocks = struct.pack(f"{order}{count}", len(entries)), b""
    for tag, (kind, values) in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}{CODES[kind]}", *values)
        if len(packed) > room:
            place, blocks = after + len(blocks), blocks + packed + bytes(len(packed) % 2)
            packed = struct.pack(f"{order}{pointer}", place)
        found += struct.pack(f"{order}HH{pointer}", tag, kind, len(values)) + packed.ljust(room, b"\0")
    return found + bytes(room) + blocks
