"""Lists as other tools write them mean the same images."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.tools import shared
from usrn_keras.data import load_dataset
from usrn_keras.data.dataset import ErrorList
from usrn_keras.errors import DataError
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.schema import DataSection

NAMES = ("a/0", "a/1", "b c", "d,e")
PLAIN = "a/0\na/1\nb c\nd,e\n"


@pytest.fixture
def root(tmp_path):
    for name in (*NAMES, "val"):
        for folder, suffix in (("images", "jpg"), ("masks", "png")):
            path = tmp_path / folder / f"{name}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4)).save(path)
    (tmp_path / "val.txt").write_text("val\n")
    (tmp_path / "classes.txt").write_text("a\nb\n")
    return tmp_path


def labelled(root, text):
    """The names that a list means, and the notes."""
    (root / "list.txt").write_text(text.replace("ROOT", str(root)), encoding="utf-8")
    errors = ErrorList()
    data = DataSection(dataset="folder", root=str(root), labelled="list.txt", val="val.txt")
    dataset = load_dataset(data, errors)
    errors.raise_if_any("the list cannot be used")
    return tuple(sample.name for sample in dataset.labelled), errors.notes


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        "images/a/0.jpg\nimages/a/1.jpg\nimages/b c.jpg\nimages/d,e.jpg",
        "images\\a\\0.jpg\r\nimages\\a\\1.jpg\r\nimages\\b c.jpg\r\n.\\d,e.jpg",
        "ROOT/images/a/0.jpg\nROOT/images/a/1.jpg\nROOT/images/b c.jpg\nROOT/images/d,e",
        "images/a/0.jpg masks/a/0.png\nimages/a/1.jpg masks/a/1.png\nimages/b c.jpg masks/b c.png\nd,e",
        "/images/a/0.jpg /masks/a/0.png\n/images/a/1.jpg /masks/a/1.png\n/images/b c.jpg /masks/b c.png\nd,e",
        "images/a/0.jpg\tmasks/a/0.png\na/1.jpg\ta/1.png\nb c\tb c\nd,e\td,e",
        'images/a/0.jpg,masks/a/0.png\nimages/a/1.jpg, masks/a/1.png\nb c.jpg,b c.png\n"d,e.jpg","d,e.png"',
        "image,mask\na/0.jpg,a/0.png\na/1.jpg,a/1.png\nb c.jpg,b c.png\nd,e.jpg",
        'mask_path;image_path\na/0.png;a/0.jpg\na/1.png;a/1.jpg\nb c.png;b c.jpg\n"d,e.png";"d,e.jpg"',
        ',image,label\n0,a/0.jpg,a/0.png\n1,a/1.jpg,a/1.png\n2,b c.jpg,b c.png\n3,"d,e.jpg","d,e.png"',
        "filename\na/0.jpg\na/1.jpg\nb c.jpg\nd,e.jpg",
        "images/a/0.jpg images/a/0.jpg\nimages/a/1.jpg images/a/1.jpg\nb c.jpg\nimages/x/../d,e.jpg",
    ],
)
def test_lists_of_other_tools(root, text):
    assert labelled(root, text) == (NAMES, ())


def test_names_are_compared_composed(root):
    for folder, suffix in (("images", "jpg"), ("masks", "png")):
        Image.new("L", (4, 4)).save(root / folder / f"stra\u00dfe u\u0308ber.{suffix}")  # as macOS writes it
    names, _ = labelled(root, "stra\u00dfe \u00fcber\n")
    assert names == ("stra\u00dfe \u00fcber",)


def test_another_mask_than_that_of_the_data_set_is_a_note(root):
    names, notes = labelled(root, "images/a/0.jpg masks/a/1.png\n")
    assert names == ("a/0",)
    assert "line 1: names the mask masks/a/1.png, but the data set takes" in notes[0] and len(notes) == 1


def test_a_line_that_is_not_understood_says_what_a_line_may_be(root):
    (root / "list.txt").write_text("a/0\nnowhere.jpg 7\n")
    data = DataSection(dataset="folder", root=str(root), labelled="list.txt", val="val.txt")
    with pytest.raises(DataError, match=r"there is no image `nowhere\.jpg 7`") as raised:
        load_dataset(data)
    assert "A line may be the name or the path of an image" in raised.value.hint


@pytest.mark.parametrize("case", ["image_twice", "backslash"])
def test_the_lists_of_the_case_mean_the_images_of_the_right_one(case):
    found, right = (
        load_dataset(load_recipe(str(shared(f"cases/lists/{name}.toml"))).data) for name in (case, "right")
    )
    assert found.fingerprint() == right.fingerprint()
