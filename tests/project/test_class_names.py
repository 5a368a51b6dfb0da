from __future__ import annotations

import pytest

from usrn_keras.errors import DataError
from usrn_keras.project.class_names import Named, ordered_names, read_names

SKY = 128 << 16 | 128 << 8 | 128


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sky\n\n# comment\ntraffic light\n", [Named("sky"), Named("traffic light")]),
        ("0 sky\n7: car\n".replace(":", ""), [Named("sky", 0), Named("car", 7)]),
        ("7,car\n0,sky\n", [Named("car", 7), Named("sky", 0)]),
        ("car,7\nsky,0\n", [Named("car", 7), Named("sky", 0)]),
        ("128 128 128 sky\n0 0 1\tnight sky\n", [Named("sky", SKY, True), Named("night sky", 1, True)]),
        ("sky,128,128,128\n", [Named("sky", SKY, True)]),
        ("name,r,g,b\nsky,128,128,128\n", [Named("sky", SKY, True)]),
        # labelmap.txt of CVAT
        ("# label:color_rgb:parts:actions\nsky:128,128,128::\n", [Named("sky", SKY, True)]),
        ("night: sky:0,0,1:moon,star:shine,fall\n", [Named("night: sky", 1, True)]),
        ("class 1\nclass 2\n", [Named("class 1"), Named("class 2")]),
        ("# label:color_rgb:parts:actions\nsky:128,128,128:a,b:\n", [Named("sky", SKY, True)]),
        ("night: sky:0,0,1::\n", [Named("night: sky", 1, True)]),
    ],
)
def test_forms_of_a_line(tmp_path, text, expected):
    path = tmp_path / "names.txt"
    path.write_text(text)
    faults: list[str] = []
    assert read_names(path, faults) == expected
    assert not faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "contains no name"),
        ("300 0 0 sky\n", "line 1: '300 0 0 sky' is not a name"),
        ("sky\n1 car\n", "all lines must have the same form"),
        ("sky\nsky\n", "the name 'sky' is listed twice"),
        ("1 sky\n1 car\n", "the value 1 is listed twice"),
        ("1 2 3\n", "line 1: '1 2 3' is not a name"),
    ],
)
def test_faults(tmp_path, text, fault):
    path = tmp_path / "names.txt"
    path.write_text(text)
    faults: list[str] = []
    read_names(path, faults)
    assert fault in "\n".join(faults)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_another_encoding_says_what_to_do(tmp_path, encoding):
    (tmp_path / "names.txt").write_bytes("Straße\nAuto\n".encode(encoding))
    faults: list[str] = []
    assert read_names(tmp_path / "names.txt", faults) == []
    assert faults[0].endswith("line 1 is not UTF-8; save the file with the encoding UTF-8")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_byte_order_mark_and_the_line_ends_of_windows(tmp_path, end):
    (tmp_path / "names.txt").write_bytes(f"Straße{end}Auto{end}".encode("utf-8-sig"))
    faults: list[str] = []
    assert read_names(tmp_path / "names.txt", faults) == [Named("Straße"), Named("Auto")]


def test_a_file_that_cannot_be_read(tmp_path):
    faults: list[str] = []
    assert read_names(tmp_path / "none.txt", faults) == []
    assert "none.txt cannot be read: No such file" in faults[0]


@pytest.mark.parametrize("text", ["cat\ndog\n", "1 dog\n0 cat\n", "cat:1,2,3::\ndog:0,0,1::\n"])
def test_names_in_the_order_of_their_ids(tmp_path, text):
    (tmp_path / "names.txt").write_text(text)
    assert ordered_names(tmp_path / "names.txt") == ("cat", "dog")


def test_ids_with_gaps_have_no_order(tmp_path):
    (tmp_path / "names.txt").write_text("7 cat\n0 dog\n")
    with pytest.raises(DataError, match="the ids must be 0 to 1, received \\[0, 7\\]"):
        ordered_names(tmp_path / "names.txt")
