"""Masks whose names differ from those of their images in a usual way."""

from __future__ import annotations

from pathlib import Path

import pytest

from usrn_keras.data.name_matching import match_masks


@pytest.mark.parametrize(
    ("images", "masks", "expected"),
    [
        (["a.jpg", "b.jpeg"], ["a.jpg.png", "b.jpeg.png"], {"a": "a.jpg.png", "b": "b.jpeg.png"}),
        (["s/a.jpg", "t/a.jpg"], ["s_a.png", "t-a.png"], {"s/a": "s_a.png", "t/a": "t-a.png"}),
        (["s/a.jpg"], ["s_a.jpg.png"], {"s/a": "s_a.jpg.png"}),
        # An equal name comes before a similar one.
        (["s/a.jpg"], ["s/a.png", "s_a.png"], {"s/a": "s/a.png", "s_a": "s_a.png"}),
        (["a.jpg", "a.jpg.jpg"], ["a.jpg.png"], {"a.jpg": "a.jpg.png"}),
        # Two images may be meant.
        (["s_t/a.jpg", "s/t_a.jpg"], ["s_t_a.png"], {"s_t_a": "s_t_a.png"}),
        (["a.jpg"], ["b.png"], {"b": "b.png"}),
    ],
)
def test_masks_get_the_names_of_their_images(images, masks, expected):
    def named(files):
        return {file.rpartition(".")[0]: Path(file) for file in files}

    assert {name: str(path) for name, path in match_masks(named(images), named(masks)).items()} == expected
