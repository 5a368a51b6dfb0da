"""The benchmark of damaged files changes what it says, and counts each file once."""

from __future__ import annotations

import random

import pytest

from benchmarks import damaged_images

CONTENT = bytes(range(1, 201))


def test_damages():
    flipped = damaged_images.flip_bit(CONTENT, random.Random(0))
    assert [(a ^ b).bit_count() for a, b in zip(CONTENT, flipped, strict=True) if a != b] == [1]
    assert CONTENT.startswith(damaged_images.cut_off(CONTENT, random.Random(0)))
    zeroed = damaged_images.overwrite(CONTENT, random.Random(0))
    assert len(zeroed) == 200 and zeroed.count(0) == 50


@pytest.mark.parametrize(("name", "outcome"), [("PNG", "refused"), ("BMP", "wrong")])
def test_a_flipped_bit_is_found_where_there_is_a_checksum(name, outcome, tmp_path):
    change = lambda content, draw: content[:-20] + bytes([content[-20] ^ 1]) + content[-19:]  # noqa: E731
    assert damaged_images.outcomes(name, change, 3, tmp_path) == {outcome: 3}
