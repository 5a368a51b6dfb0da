"""The entries of `data.bands`, and what a recipe with them may not ask for."""

from __future__ import annotations

import pytest

from usrn_keras.errors import RecipeError
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.bands import RGB, band_errors, parse_bands


@pytest.mark.parametrize(
    ("entries", "names", "numbers", "total"),
    [
        (["red", "green", "blue", "NIR"], ("red", "green", "blue", "nir"), (1, 2, 3, 4), 4),
        (["grey"], ("grey",), (1,), 1),
        ([4, 3, 2], ("4", "3", "2"), (4, 3, 2), None),
        (["nir=5", "red=3", 1], ("nir", "red", "1"), (5, 3, 1), None),
        (["red", "green", "blue", 4], ("red", "green", "blue", "4"), (1, 2, 3, 4), None),
    ],
)
def test_entries_are_names_and_numbers(entries, names, numbers, total):
    assert not list(band_errors(entries))
    bands = parse_bands(entries)
    assert (bands.names, bands.numbers, bands.total) == (names, numbers, total)


@pytest.mark.parametrize(
    ("entries", "visible", "are_rgb"),
    [
        (["red", "green", "blue"], (0, 1, 2), True),
        ([4, 3, 2], (0, 1, 2), True),
        (["blue", "green", "red"], (2, 1, 0), False),
        (["nir", "blue", "green", "red"], (3, 2, 1), False),
        (["nir", "red", "green"], None, False),
        ([1, 2, 3, 4], None, False),
    ],
)
def test_visible_bands_are_those_with_names(entries, visible, are_rgb):
    bands = parse_bands(entries)
    assert bands.visible == visible and bands.are_rgb == are_rgb


def test_no_entries_are_rgb():
    assert parse_bands([]) is None and RGB.are_rgb


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([0], "received 0"),
        (["nir=0"], "received 'nir=0'"),
        (["4"], "received '4'"),
        (["near infrared"], "received 'near infrared'"),
        (["red", 1], "band 1 of the files is used 2 times"),
        (["red=1", "red=2"], "the name red is given 2 times"),
        ([*range(1, 66)], "at most 64 entries, received 65"),
    ],
)
def test_every_wrong_entry_is_named(entries, message):
    with pytest.raises(RecipeError) as raised:
        load_recipe("quickstart", [f"data.bands={entries!r}"])
    assert message in str(raised.value)


@pytest.mark.parametrize("view", ["keras_cv", "random_intensity"])
def test_strong_views_of_rgb_alone_are_refused(view):
    overrides = [f'views.strong="{view}"', 'data.bands=["red", "green", "blue", "nir"]']
    with pytest.raises(RecipeError, match=rf"views.strong: must be 'device' or 'none' .* received '{view}'"):
        load_recipe("quickstart", overrides)
    load_recipe("quickstart", [overrides[0], 'data.bands=["red", "green", "blue"]'])
