from __future__ import annotations

import pytest

from usrn_keras.data.random_split import Share
from usrn_keras.project.project_request import held_out


def folders(root, *paths):
    for path in paths:
        (root / path).mkdir(parents=True)


def ask(root, part="val", text="", masks_text="", images="images", masks="masks"):
    faults: list[str] = []
    return held_out(part, text, masks_text, root / images, root / masks, faults), faults


@pytest.mark.parametrize(("text", "share"), [("0.2", 7), ("1/3", 12), ("5", 5)])
def test_a_share(tmp_path, text, share):
    found, faults = ask(tmp_path, text=text)
    assert found.share.of(35) == share and not faults and not found.assumption


@pytest.mark.parametrize("text", ["2.0", "0", "1/0", "-0.5", "nowhere"])
def test_neither_folder_nor_share(tmp_path, text):
    assert f"--val {text}: no such folder, and a share must be a fraction" in ask(tmp_path, text=text)[1][0]


def test_nothing_given(tmp_path):
    found, faults = ask(tmp_path)
    assert found.share == Share("1/5") and "a fifth" in found.assumption and not faults
    assert ask(tmp_path, part="test") == (None, [])
    folders(tmp_path, "images/valid", "images/test")
    assert ask(tmp_path)[0].inside == tmp_path / "images/valid"
    assert "images/test is used as test" in ask(tmp_path, part="test")[0].assumption


def test_folders(tmp_path):
    folders(
        tmp_path, "train/images/v", "train/masks", "val/images", "val/masks", "x/images", "x/masks", "plain"
    )
    train = {"images": "train/images", "masks": "train/masks"}
    assert ask(tmp_path, text=str(tmp_path / "train/images/v"), **train)[0].inside
    found, _ = ask(tmp_path, text=str(tmp_path / "val"), **train)
    assert (found.images, found.masks) == (tmp_path / "val/images", tmp_path / "val/masks")
    found, _ = ask(tmp_path, text=str(tmp_path / "x/images"), **train)
    assert found.masks == tmp_path / "x/masks" and "are in" in found.assumption
    found, _ = ask(tmp_path, text=str(tmp_path / "plain"), **train)
    assert found.masks == tmp_path / "plain" and "both in" in found.assumption
    found, _ = ask(tmp_path, text=str(tmp_path / "plain"), masks_text=str(tmp_path / "x/masks"), **train)
    assert found.masks == tmp_path / "x/masks" and not found.assumption


def test_the_folder_of_the_images_itself(tmp_path):
    folders(tmp_path, "images", "masks")
    assert "is the folder of --images" in ask(tmp_path, text=str(tmp_path / "images"))[1][0]
    assert "contains the folder of --images" in ask(tmp_path, text=str(tmp_path))[1][0]


def test_masks_that_do_not_go_with_it(tmp_path):
    folders(tmp_path, "images/v", "apart")
    assert "which is missing" in ask(tmp_path, masks_text="m")[1][0]
    assert "received --val 0.2" in ask(tmp_path, text="0.2", masks_text="m")[1][0]
    assert (
        "not allowed with a folder below"
        in ask(tmp_path, text=str(tmp_path / "images/v"), masks_text="m")[1][0]
    )
    assert (
        "no such folder" in ask(tmp_path, text=str(tmp_path / "apart"), masks_text=str(tmp_path / "m"))[1][0]
    )
