from __future__ import annotations

import pytest

from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.file_index import index_files, index_parts
from usrn_keras.data.formats.lists import Entries, read_list, shipped_list, shipped_splits
from usrn_keras.errors import DataError

SUFFIXES = (".jpg", ".png")


def _read(tmp_path, text):
    (tmp_path / "list.txt").write_bytes(text.encode())
    faults = ErrorList()
    return read_list(tmp_path / "list.txt", faults), faults


def test_list_of_names_and_paths(tmp_path):
    names, faults = _read(tmp_path, "\ufeffa\r\n\n# comment\nstreet/b.JPG\n ./c.d \ne.f/g.png")
    faults.raise_if_any("list")
    assert names == ("a", "street/b", "c.d", "e.f/g")


@pytest.mark.parametrize(
    "entry", ["../a", "a/../../b", "/etc/passwd", "\\\\host\\a", "..\\a", "C:\\a", "c:a", "a/.."]
)
def test_paths_that_lead_out_are_refused(tmp_path, entry):
    names, faults = _read(tmp_path, f"fine\n{entry}\n")
    assert names == ("fine",)
    with pytest.raises(DataError, match=r"list\.txt, line 2: .* is not a path in the data set"):
        faults.raise_if_any("list")


def test_repeated_names_are_faults(tmp_path):
    names, faults = _read(tmp_path, "a\nb\na.png\n")
    assert names == ("a", "b")
    with pytest.raises(DataError, match="line 3: `a` is already in line 1"):
        faults.raise_if_any("list")


def test_list_that_does_not_exist(tmp_path):
    faults = ErrorList()
    assert read_list(tmp_path / "none.txt", faults) == ()
    with pytest.raises(DataError, match=r"none\.txt does not exist"):
        faults.raise_if_any("list")


def test_list_that_is_no_text(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00\xd8")
    faults = ErrorList()
    assert read_list(tmp_path / "list.txt", faults) == ()
    with pytest.raises(DataError, match="cannot be read"):
        faults.raise_if_any("list")


def test_index_of_files(tmp_path):
    for name in ("b.jpg", "x/y/a.PNG", "c.d.png", "notes.txt", ".hidden.png", ".cache/e.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    faults = ErrorList()
    found = index_files(tmp_path, SUFFIXES, faults)
    faults.raise_if_any("index")
    assert found == {"b": tmp_path / "b.jpg", "c.d": tmp_path / "c.d.png", "x/y/a": tmp_path / "x/y/a.PNG"}


def test_a_file_name_in_another_encoding_is_a_fault(tmp_path):
    (tmp_path / "stra\udcdfe.png").touch()
    (tmp_path / "weg.png").touch()
    faults = ErrorList()
    assert list(index_files(tmp_path, SUFFIXES, faults)) == ["weg"]
    assert faults.lines == (rf"{tmp_path}/stra\xdfe.png: the name is not UTF-8; rename the file",)


def test_index_with_pattern(tmp_path):
    for name in ("a_image.png", "a_other.png"):
        (tmp_path / name).touch()
    assert index_files(tmp_path, SUFFIXES, ErrorList(), pattern="{name}_image") == {
        "a": tmp_path / "a_image.png"
    }


@pytest.mark.parametrize(("first", "second"), [("train/a.jpg", "train/a.png"), ("train/a.jpg", "val/a.jpg")])
def test_two_files_of_one_name_are_a_fault(tmp_path, first, second):
    for name in (first, second):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    faults = ErrorList()
    index_parts(tmp_path, ("train", "val"), SUFFIXES, faults)
    with pytest.raises(DataError, match="have the same name `a`"):
        faults.raise_if_any("index")


def test_index_of_a_missing_folder_is_empty(tmp_path):
    assert index_files(tmp_path / "none", SUFFIXES, ErrorList()) == {}


@pytest.mark.parametrize(
    ("dataset", "train", "val", "splits"),
    [
        ("voc", 10582, 1449, {"1_64": 165, "1_32": 331, "1_16": 662}),
        ("cityscapes", 2975, 500, {"1_32": 93, "1_16": 186, "1_8": 372}),
        (
            "camvid",
            367,
            101,
            {f"{s}_seed{k}": n for s, n in (("1_16", 23), ("1_8", 46), ("1_4", 92)) for k in range(3)},
        ),
    ],
)
def test_shipped_lists(dataset, train, val, splits):
    everything = set(shipped_list(dataset, "train"))
    assert len(shipped_list(dataset, "train")) == len(everything) == train
    assert len(shipped_list(dataset, "val")) == len(set(shipped_list(dataset, "val")) - everything) == val
    assert set(shipped_splits(dataset)) == {f"labelled_{name}" for name in splits}
    for name, count in splits.items():
        labelled = shipped_list(dataset, f"labelled_{name}")
        assert len(labelled) == len(everything & set(labelled)) == count


def test_lines_of_image_and_mask_as_in_the_official_lists(tmp_path):
    lines = [
        "/JPEGImages/a.jpg /SegmentationClassAug/a.png",
        "images/b.png  segmentation/b.png",
        "a photo.jpg",
    ]
    names, faults = _read(tmp_path, "\n".join(lines))
    faults.raise_if_any("list")
    assert names == ("JPEGImages/a", "images/b", "a photo")


@pytest.mark.parametrize("line", ["/../a.jpg b.png", "//etc/a.jpg b.png", "C:/a.jpg b.png"])
def test_pairs_that_lead_out_are_refused(tmp_path, line):
    names, faults = _read(tmp_path, line)
    assert names == ()
    assert "is not a path in the data set" in faults.lines[0]


def test_names_as_the_data_set_has_them(tmp_path):
    (tmp_path / "list.txt").write_text("x/a.png\ny/a\n")
    faults = ErrorList()
    assert read_list(tmp_path / "list.txt", faults, Entries(lambda entry: entry[-1])) == ("a",)
    assert "line 2: `a` is already in line 1" in faults.lines[0]
