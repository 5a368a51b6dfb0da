from __future__ import annotations

from pathlib import Path

import pytest

from usrn_keras.data.name_pattern import Pattern
from usrn_keras.errors import DataError
from usrn_keras.project.naming_rules import File, Rule, is_below, list_files
from usrn_keras.project.pairing import find_rule, pair


def files(*paths: str) -> list[File]:
    return sorted(File("/".join(Path(path).parts[1:-1]), Path(path).stem, Path(path)) for path in paths)


def rule_of(images, masks, **options) -> str:
    return str(find_rule(files(*images), files(*masks), **options))


def test_the_rule_that_pairs_most_wins():
    images = [f"i/{n}.jpg" for n in range(20)]
    masks = [f"m/{n}_mask.png" for n in range(12)] + [f"m/{n}_edges.png" for n in range(5)]
    assert rule_of(images, masks) == "image {name}, mask {name}_mask"


def test_of_equal_rules_the_one_with_the_longest_names():
    images, masks = ["i/x_1_x.jpg", "i/x_2_x.jpg"], ["m/x_1_x.png", "m/x_2_x.png"]
    assert rule_of(images, masks) == "image {name}, mask {name}"


def test_sub_folders_are_mirrored():
    images = files("i/aachen/0_left.png", "i/bonn/0_left.png", "i/bonn/1_left.png")
    masks = files("m/aachen/0_ids.png", "m/bonn/1_ids.png")
    rule = find_rule(images, masks)
    faults: list[str] = []
    pairing = pair(rule, images, masks, faults)
    assert not faults
    assert {name: path.as_posix() for name, path in pairing.masks.items()} == {
        "aachen/0": "m/aachen/0_ids.png",
        "bonn/1": "m/bonn/1_ids.png",
    }
    assert set(pairing.images) == {"aachen/0", "bonn/0", "bonn/1"}


def test_a_single_mask():
    assert rule_of(["i/1.jpg", "i/2.jpg"], ["m/label_2.png"]) == "image {name}, mask label_{name}"


def test_what_has_no_partner_is_told():
    images, masks = files("i/a_rgb.jpg", "i/b_rgb.jpg", "i/c.jpg"), files("m/a.png", "m/b.png", "m/z.png")
    pairing = pair(find_rule(images, masks), images, masks, [])
    assert [path.name for path in pairing.orphans] == ["z.png"]
    assert [path.name for path in pairing.left_out] == ["c.jpg"]


def test_no_pairs_shows_both_kinds_of_names():
    with pytest.raises(DataError) as caught:
        rule_of(["i/a1.jpg", "i/a2.jpg"], ["m/x8.png", "m/x9.png"])
    assert "images are named a1.jpg, a2.jpg" in str(caught.value)
    assert "masks are named x8.png, x9.png" in str(caught.value)
    assert "--mask-pattern" in str(caught.value)
    with pytest.raises(DataError, match=r"masks are named \(no files\)"):
        rule_of(["i/a1.jpg"], [])


def test_equal_rules_are_refused_until_one_is_chosen():
    images = ["i/0_leftImg8bit.png", "i/1_leftImg8bit.png"]
    kinds = ("labelIds", "labelTrainIds", "color")
    masks = [f"m/{n}_gtFine_{kind}.png" for n in range(2) for kind in kinds]
    with pytest.raises(DataError) as caught:
        rule_of(images, masks)
    assert "3 naming rules pair 2 images each" in str(caught.value)
    for kind in kinds:
        assert f"0_gtFine_{kind}.png" in str(caught.value)
    chosen = rule_of(images, masks, mask_pattern=Pattern.parse("{name}_gtFine_labelIds"))
    assert chosen == "image {name}_leftImg8bit, mask {name}_gtFine_labelIds"


def test_one_folder_where_colours_tell_which_is_the_mask():
    both = [f"d/{n}{ending}" for n in range(3) for ending in (".png", "_mask.png")]
    options = {"fewer_colours": lambda a, b: a if "mask" in a.name else b}
    assert rule_of(both, both, **options) == "image {name}, mask {name}_mask"
    options = {"fewer_colours": lambda a, b: b if "mask" in a.name else a}
    assert rule_of(both, both, **options) == "image {name}_mask, mask {name}"


def test_two_files_of_one_name_are_faults():
    images, masks = files("i/a.jpg", "i/a.png"), files("m/a.png", "m/a.tif")
    faults: list[str] = []
    pair(Rule(), images, masks, faults)
    assert [fault.split(" have ")[0] for fault in faults] == [
        "i/a.jpg and i/a.png", "m/a.png and m/a.tif",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("#a", "i/#a.jpg: a name that starts with # or a space, or ends with one, is not allowed in a list"),
        (" a", "i/ a.jpg: a name that starts with # or a space, or ends with one, is not allowed in a list"),
        ("a\nb", r"i/a\nb.jpg: a name with a line break is not allowed in a list"),
        ("a\udce4", r"i/a\xe4.jpg: a name that is not UTF-8 is not allowed in a list"),
    ],
)
def test_names_that_no_list_can_hold(name, fault):
    faults: list[str] = []
    pair(Rule(), files(f"i/{name}.jpg"), [], faults)
    assert faults == [f"{fault}: rename it"]


def test_listing_leaves_out_what_is_hidden_and_other_kinds(tmp_path):
    for path in ("a.PNG", "b.txt", ".c.png", "sub/d.png", ".git/e.png", "masks/f.png"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    found = list_files(tmp_path, [".png"], without=[tmp_path / "masks"])
    assert [file.shown for file in found] == ["a.PNG", "sub/d.png"]
    assert is_below(tmp_path / "sub", tmp_path) and not is_below(tmp_path, tmp_path)
