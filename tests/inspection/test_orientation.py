from __future__ import annotations

import pytest
from PIL import Image

from usrn_keras.data.decoding.file_facts import read_facts
from usrn_keras.inspection.suspicious_masks import perhaps_turned_apart, turned_apart


def save(path, orientation=None):
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.new("RGB", (8, 6)).save(path, exif=exif)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_orientation_of_every_format(tmp_path, suffix):
    assert read_facts(save(tmp_path / f"turned{suffix}", 6)).orientation == 6
    assert read_facts(save(tmp_path / f"plain{suffix}")).orientation == 1
    assert read_facts(save(tmp_path / f"odd{suffix}", 77)).orientation == 1


def test_damaged_exif_is_no_orientation(tmp_path):
    path = save(tmp_path / "a.jpg", 6)
    path.write_bytes(path.read_bytes().replace(b"MM\x00*", b"XX\x00*").replace(b"II*\x00", b"XX*\x00"))
    assert read_facts(path).orientation == 1


def test_apart_only_where_the_two_differ(tmp_path):
    turned, mask = save(tmp_path / "a.jpg", 6), save(tmp_path / "m.png")
    assert turned_apart(turned, mask) == "EXIF orientation 6 of the image, 1 of the mask; 1 is upright"
    assert turned_apart(turned, save(tmp_path / "n.png", 6)) == ""


def test_equal_sizes_prove_a_quarter_turn_but_no_half(tmp_path):
    mask = save(tmp_path / "m.png")
    quarter, half = save(tmp_path / "q.jpg", 8), save(tmp_path / "h.jpg", 3)
    assert perhaps_turned_apart(quarter, mask, (8, 6)) == ""
    assert "8" in perhaps_turned_apart(quarter, mask, (8, 8))
    assert "3" in perhaps_turned_apart(half, mask, (6, 8))
    assert perhaps_turned_apart(save(tmp_path / "p.jpg"), mask, (6, 8)) == ""
