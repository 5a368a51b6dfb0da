"""Run lengths of masks: those of COCO (plain and compressed) and those of the brush of Label Studio.

They come from files of others, so every length is checked before memory is reserved for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_BITS = 5  # of a count in one character of a compressed string
_OFFSET = 48  # the character `0`
_MAX_CHARACTERS = 7  # 35 bits: more than any image needs

BRUSH_CHANNELS = 4  # red, green, blue and opacity
_BRUSH_SIZES = (3, 4, 8, 16)  # bits of a length, as Label Studio writes them
_LENGTH_BITS, _WORD_BITS, _SIZE_BITS = 32, 5, 4


def decode_counts(counts: Sequence[int], height: int, width: int) -> np.ndarray:
    """Decode the run lengths of COCO, which alternate between 0 and 1 and go column by column.

    Args:
        counts: Run lengths; the first one counts zeros and may be 0.
        height: Height in pixels.
        width: Width in pixels.

    Returns:
        `(height, width)` bool.

    Raises:
        ValueError: A length is negative, or the lengths do not add up to `height * width`.

    Example:

    >>> decode_counts([1, 2, 3], 2, 3).astype(int).tolist()
    [[0, 1, 0], [1, 0, 0]]
    """
    if any(count < 0 for count in counts):
        raise ValueError(f"a run length is {min(counts)}; run lengths must be 0 or more")
    total = sum(counts)
    if total != height * width:
        raise ValueError(
            f"the run lengths add up to {total}; they must add up to {height} x {width} = "
            f"{height * width} pixels"
        )
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, np.array(counts, np.int64)).reshape(width, height).T


def encode_counts(mask: np.ndarray) -> list[int]:
    """Encode a mask `(height, width)` bool as run lengths of COCO, the inverse of `decode_counts`.

    Example:

    >>> encode_counts(np.array([[False, True, False], [True, False, False]]))
    [1, 2, 3]
    """
    flat = np.concatenate([[False], mask.T.ravel()])
    starts = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(starts, prepend=0, append=mask.size).tolist()


def parse_counts(text: str) -> list[int]:
    """Parse the compressed run lengths of COCO: five bits per character, differences to the last but one.

    Args:
        text: String of the characters `0` to `o`.

    Raises:
        ValueError: A character is not allowed, a number does not end or is too large.

    Example:

    >>> parse_counts(format_counts([907, 12, 52, 12, 4393]))
    [907, 12, 52, 12, 4393]
    """
    counts: list[int] = []
    value = place = 0
    for position, character in enumerate(text):
        bits = ord(character) - _OFFSET
        if not 0 <= bits < 2 << _BITS:
            raise ValueError(
                f"the compressed run lengths have the character {character!r} at position {position}; "
                "allowed are `0` to `o`"
            )
        value |= (bits & 31) << _BITS * place
        place += 1
        if place > _MAX_CHARACTERS:
            raise ValueError(f"the compressed run length at position {position} is larger than any image")
        if not bits & 32:
            value -= (bits & 16) << 1 + _BITS * (place - 1)  # sign
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = place = 0
    if place:
        raise ValueError("the compressed run lengths end within a number: the string is cut off")
    return counts


def format_counts(counts: Sequence[int]) -> str:
    """Format run lengths as the compressed string of COCO, the inverse of `parse_counts`."""
    characters = []
    for index, count in enumerate(counts):
        value = count - counts[index - 2] if index > 2 else count
        more = True
        while more:
            bits = value & 31
            value >>= _BITS
            more = value != (-1 if bits & 16 else 0)
            characters.append(chr(bits + 32 * more + _OFFSET))
    return "".join(characters)


def decode_brush(data: Sequence[int], height: int, width: int) -> np.ndarray:
    """Decode the run lengths of a brush region of Label Studio.

    The bytes hold the number of values (32 bits), the bits of a value (5), four lengths of counts (4 bits
    each), and then runs: one bit that is 1 for a repeated value, two bits that select the length of the
    count, the count, and the value or values. The values are red, green, blue and opacity of each pixel.

    Args:
        data: Bytes, 0..255.
        height: Height in pixels.
        width: Width in pixels.

    Returns:
        `(height, width)` bool, where the opacity is not 0.

    Raises:
        ValueError: The bytes are cut off, or hold another number of values.

    Source: `label_studio_converter.brush.decode_rle` (Apache-2.0).
    """
    if any(not 0 <= byte <= 255 for byte in data):
        raise ValueError("`rle` must be a list of bytes, integers from 0 to 255")
    bits = np.unpackbits(np.array(data, np.uint8))
    text = bits.tobytes().translate(bytes.maketrans(b"\0\1", b"01")).decode()
    position = 0

    def read(count: int) -> int:
        nonlocal position
        if position + count > len(text):
            raise ValueError("the run lengths are cut off: they end before the last pixel")
        position += count
        return int(text[position - count : position], 2)

    number = read(_LENGTH_BITS)
    expected = height * width * BRUSH_CHANNELS
    if number != expected:
        raise ValueError(
            f"the run lengths hold {number} values; {width}x{height} pixels of 4 channels are {expected}"
        )
    word = read(_WORD_BITS) + 1
    sizes = [read(_SIZE_BITS) + 1 for _ in range(4)]
    values = np.zeros(number, bool)
    start = 0
    while start < number:
        repeated = read(1)
        end = start + 1 + read(sizes[read(2)])
        if end > number:
            raise ValueError(f"a run ends at value {end} of {number}: the run lengths overflow")
        if repeated:
            values[start:end] = read(word) > 0
        else:
            for place in range(start, end):
                values[place] = read(word) > 0
        start = end
    return values.reshape(height, width, BRUSH_CHANNELS)[..., -1]


def encode_brush(mask: np.ndarray) -> list[int]:
    """Encode a mask `(height, width)` bool as bytes of a brush region, the inverse of `decode_brush`."""
    flat = np.repeat(mask.ravel(), BRUSH_CHANNELS)
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    parts = [f"{flat.size:032b}{7:05b}", *(f"{size - 1:04b}" for size in _BRUSH_SIZES)]
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        value = 255 if flat[start] else 0
        for length in _pieces(end - start):
            kind = next(kind for kind, size in enumerate(_BRUSH_SIZES) if length <= 1 << size)
            parts.append(f"1{kind:02b}{length - 1:0{_BRUSH_SIZES[kind]}b}{value:08b}")
    text = "".join(parts)
    bits = np.frombuffer(text.encode(), np.uint8) - ord("0")
    return np.packbits(bits).tolist()


def _pieces(length: int) -> list[int]:
    """Split a run into runs that 16 bits can count."""
    longest = 1 << _BRUSH_SIZES[-1]
    return [longest] * (length // longest) + [length % longest] * (length % longest > 0)
