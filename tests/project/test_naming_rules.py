from __future__ import annotations

from pathlib import Path

import pytest

from usrn_keras.data.name_pattern import Pattern
from usrn_keras.project.naming_rules import File, likely_rules


def files(*stems: str, suffix: str = ".png") -> list[File]:
    return [File("", stem, Path(f"{stem}{suffix}")) for stem in stems]


def test_a_pattern_takes_and_gives_names():
    pattern = Pattern("gt_", "_mask")
    assert pattern.name_of("gt_7_mask") == "7"
    assert pattern.stem_of("7") == "gt_7_mask"
    assert [pattern.name_of(stem) for stem in ("gt__mask", "gt_mask", "7_mask", "gt_7")] == [None] * 4
    assert str(pattern) == "gt_{name}_mask"
    assert Pattern.parse("gt_{name}_mask") == pattern
    assert Pattern.parse("mask") is None and Pattern.parse("{name}{name}") is None


NUMBERS = ("0001", "0002", "0010", "0123")


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{}", "{}"),
        ("{}", "{}_mask"),
        ("{}", "mask_{}"),
        ("{}", "{}.jpg"),
        ("{}_rgb", "{}_seg"),
        ("{}_leftImg8bit", "{}_gtFine_labelIds"),
        ("img_{}_left_color", "gt_{}_left_label"),
        ("{}_original_photo", "{}_labelled_photo"),
        ("scene-{}", "annotation {}"),
    ],
)
@pytest.mark.parametrize("names", [NUMBERS, ("cat", "dog", "a_tree", "the-house")])
def test_the_rule_is_found_from_names(image, mask, names):
    images = files(*map(image.format, names), suffix=".jpg")
    masks = files(*map(mask.format, names))
    expected = {image.format(name): mask.format(name) for name in names}
    for rule in likely_rules(images, masks):
        found = {file.stem: rule.image.name_of(file.stem) for file in images}
        if {stem: name and rule.mask.stem_of(name) for stem, name in found.items()} == expected:
            return
    pytest.fail("no rule makes the masks' names")


def test_a_number_is_never_cut_in_two():
    rules = likely_rules(files("DSC_0001", "DSC_0012"), files("1", "12"))
    assert all(rule.image.prefix != "DSC_00" for rule in rules)
