from __future__ import annotations

from pathlib import Path

import pytest

from usrn_keras.data import Sample
from usrn_keras.errors import DataError
from usrn_keras.evaluation.mask_matching import Matches, match_files


def matched(folder: Path, files: list[str], names: list[str]) -> Matches:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return match_files(folder, [Sample(name, Path("image")) for name in names])


def found(folder: Path, matches: Matches) -> dict[str, str]:
    return {name: path.relative_to(folder).as_posix() for name, path in matches.files.items()}


@pytest.mark.parametrize(
    ("files", "suffix"),
    [
        (["town/1.png", "lake/2.PNG"], ""),
        (["1.png", "2.png"], ""),
        (["other/1.png", "deep/er/2.png"], ""),
        (["town/1_pred.png", "lake/2_pred.png"], "_pred"),
        (["1_leftImg8bit_pred.png", "2_leftImg8bit_pred.png"], "_leftImg8bit_pred"),
        (["1.jpg.png", "2.jpg.png"], ".jpg"),
        (["town/1/mask.png", "lake/2/mask.png"], "/mask"),
    ],
)
def test_names_with_or_without_folders_and_one_suffix(tmp_path, files, suffix):
    matches = matched(tmp_path, files, ["town/1", "lake/2"])
    assert found(tmp_path, matches) == {"town/1": files[0], "lake/2": files[1]}
    assert (matches.suffix, matches.extra) == (suffix, ())


def test_a_stem_that_two_folders_have_needs_the_folder(tmp_path):
    matches = matched(tmp_path, ["a/1.png", "b/1.png", "1.png"], ["a/1", "b/1"])
    assert found(tmp_path, matches) == {"a/1": "a/1.png", "b/1": "b/1.png"}
    assert matches.extra == (tmp_path / "1.png",)


def test_a_name_that_starts_as_another_keeps_its_own_file(tmp_path):
    matches = matched(tmp_path, ["img1_p.png", "img10_p.png", "img1_a_p.png"], ["img1", "img10", "img1_a"])
    assert len(matches.files) == 3 and matches.suffix == "_p"
    assert found(tmp_path, matches)["img1"] == "img1_p.png"


def test_plain_names_go_before_overlays_and_extra_files_are_told(tmp_path):
    files = ["a.png", "a_overlay.png", "b_overlay.png", "c.png", "c_overlay.png", ".hidden.png", "a.txt"]
    matches = matched(tmp_path, files, ["a", "b", "c"])
    assert found(tmp_path, matches) == {"a": "a.png", "c": "c.png"}
    assert [path.name for path in matches.extra] == ["a_overlay.png", "b_overlay.png", "c_overlay.png"]


def test_the_suffix_that_most_images_have(tmp_path):
    matches = matched(tmp_path, ["a_p.png", "b_p.png", "c_p.png", "a_old.png"], ["a", "b", "c", "d"])
    assert matches.suffix == "_p" and set(matches.files) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "contains no PNG files"),
        (["a.jpg"], "contains no PNG files"),
        (["x.png", "y.png"], r"none of its 2 PNG files has the name of one of the 2 images: x.png, y.png"),
        (["a_p.png", "a_color.png"], r"equally well: NAME_color.png, NAME_p.png"),
        (["one/a.png", "two/a.png"], r"several files belong to one image"),
    ],
)
def test_refuses(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        matched(tmp_path, files, ["a", "b"])


def test_refuses_a_folder_that_is_none(tmp_path):
    (tmp_path / "file").touch()
    for name, problem in (("file", "is not a folder"), ("nowhere", "does not exist")):
        with pytest.raises(DataError, match=f"{name} {problem}"):
            match_files(tmp_path / name, [Sample("a", Path("image"))])
