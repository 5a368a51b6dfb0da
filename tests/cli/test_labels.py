from __future__ import annotations

import json

from click.testing import CliRunner

from tests.data.annotations.made_sources import box, read, write_json, write_photos
from tests.data.annotations.test_labelme import document, shape
from usrn_cli.main import main


def usrn_labels(*words: object):
    return CliRunner().invoke(main, ["labels", *map(str, words)])


def make_source(tmp_path):
    photos = write_photos(tmp_path / "photos", "a.jpg", "b.jpg")
    shapes = [shape("cat", [[2, 2], [5, 5]], "rectangle"), shape("dog", [[9, 9], [9, 9]], "rectangle")]
    write_json(photos / "a.json", document(*shapes))
    return [photos, "--images", photos, "--out", tmp_path / "masks", "--quiet"]


def test_import_prints_a_report(tmp_path):
    result = usrn_labels("import", *make_source(tmp_path))
    assert result.exit_code == 0 and result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0] == "read: LabelMe JSON" and lines[2] == "class 1 cat: 16 pixels (2.08 %)"
    assert "1 images have no annotation and no mask: b.jpg" in lines
    assert (read(tmp_path / "masks/a.png") == box(9, 9, 1, 1, 2, box(2, 2, 4, 4))).all()


def test_options_of_import(tmp_path):
    (tmp_path / "names.txt").write_text("1 cat\n0 bird\n")
    options = ["--names", tmp_path / "names.txt", "--unlabelled", "ignore", "--ignore", "dog", "--json"]
    result = usrn_labels("import", *make_source(tmp_path), *options)
    report = json.loads(result.stdout)
    assert [entry["name"] for entry in report["classes"]] == ["bird", "cat"] and report[
        "unlabelled"
    ] == "ignored"
    assert set(read(tmp_path / "masks/a.png").ravel().tolist()) == {1, 255}


def test_errors_of_import(tmp_path):
    source = make_source(tmp_path)
    (tmp_path / "photos/a.json").write_text("{}")
    result = usrn_labels("import", *source)
    assert result.exit_code == 4 and "contains JSON of another tool" in result.stderr
    make_source(tmp_path)
    (tmp_path / "masks").write_text("a file")
    result = usrn_labels("import", *source)
    assert result.exit_code == 9 and "masks is a file" in result.stderr
