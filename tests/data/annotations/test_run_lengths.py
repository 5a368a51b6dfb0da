from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.data.annotations.run_lengths import (
    decode_brush,
    decode_counts,
    encode_brush,
    encode_counts,
    format_counts,
    parse_counts,
)


def made_masks(seed: int = 0):
    """Masks of all shares, empty and full ones, single pixels and long runs."""
    rng = np.random.default_rng(seed)
    for share in (0, 0.02, 0.5, 0.98, 1):
        yield rng.random(tuple(rng.integers(1, 30, 2))) < share
    yield np.ones((300, 400), bool)  # more than the 16 bits of a run of the brush


@pytest.mark.parametrize("mask", list(made_masks()), ids=lambda mask: f"{mask.mean():.2f}")
def test_encoded_masks_decode_to_themselves(mask):
    counts = encode_counts(mask)
    assert np.array_equal(decode_counts(counts, *mask.shape), mask)
    assert parse_counts(format_counts(counts)) == counts
    assert np.array_equal(decode_brush(encode_brush(mask), *mask.shape), mask)


@pytest.mark.parametrize("mask", list(made_masks(1)), ids=lambda mask: f"{mask.mean():.2f}")
def test_compressed_counts_are_those_of_pycocotools(mask):
    masks = pytest.importorskip("pycocotools.mask")
    code = masks.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert format_counts(encode_counts(mask)) == code
    assert np.array_equal(decode_counts(parse_counts(code), *mask.shape), mask)


def test_brush_bits_by_hand():
    """Two pixels: 8 values of 8 bits; a run of 4 zeros, and 4 values one by one."""
    bits = f"{8:032b}" + f"{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    bits += "1" + "00" + f"{3:03b}" + f"{0:08b}"
    bits += "0" + "00" + f"{3:03b}" + "".join(f"{value:08b}" for value in (10, 0, 0, 200))
    bits += "0" * (-len(bits) % 8)
    data = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    assert decode_brush(data, 1, 2).tolist() == [[False, True]]
    with pytest.raises(ValueError, match="hold 8 values; 3x1 pixels of 4 channels are 12"):
        decode_brush(data, 1, 3)
    with pytest.raises(ValueError, match="cut off"):
        decode_brush(data[:-1], 1, 2)


def test_lengths_that_do_not_fit_are_refused():
    for counts in ([3, 2], [3, 2**62], [1, 2, 4, 0]):
        with pytest.raises(ValueError, match="must add up to 2 x 3 = 6 pixels"):
            decode_counts(counts, 2, 3)
    with pytest.raises(ValueError, match="a run length is -1"):
        decode_counts([7, -1], 2, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1", "the character ' ' at position 1"),
        ("0\x7f", "allowed are `0` to `o`"),
        ("0o", "cut off"),
        ("o" * 40 + "0", "larger than any image"),
    ],
)
def test_damaged_strings_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_counts(text)


def test_a_brush_that_overflows_is_refused():
    bits = f"{4:032b}" + f"{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    bits += "1" + "11" + f"{65535:016b}" + f"{255:08b}"
    bits += "0" * (-len(bits) % 8)
    data = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    with pytest.raises(ValueError, match="a run ends at value 65536 of 4: the run lengths overflow"):
        decode_brush(data, 1, 1)
    with pytest.raises(ValueError, match="integers from 0 to 255"):
        decode_brush([300], 1, 1)
