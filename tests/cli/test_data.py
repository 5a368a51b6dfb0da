"""`usrn data`: all errors of a data set at once, JSON, an interrupt, the picture."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from tests.cli.data_tools import check, data, found, image, mask, turned
from usrn_keras.inspection import dataset_inspection


def plant_errors(root) -> None:
    """One of each kind, and two of some."""
    image(root / "images/6.png", 6)  # labelled, as 7 to 9 are
    Image.fromarray(np.zeros((48, 40), np.uint8)).save(root / "masks/6.png")
    turned(root / "images/7.jpg", 6, (40, 48))
    mask(root / "masks/7.png", 0)
    image(root / "images/8.png", 8)
    mask(root / "masks/8.png", 255)
    image(root / "images/9.png", 9)
    (root / "masks/9.png").write_bytes((root / "masks/0.png").read_bytes()[:40])
    mask(root / "masks/0.png", np.arange(48) // 16 * 85)
    mask(root / "masks/1.png", 6)
    (root / "images/3.png").write_bytes(b"")
    image(root / "images/4.png", 4)
    (root / "images/4.png").write_bytes((root / "images/4.png").read_bytes()[:200])
    Image.open(root / "images/5.png").save(root / "images/copy.bmp")
    image(root / "images/Street.png", 1, (10, 12))
    image(root / "images/street.png", 2)
    (root / "classes.txt").write_text("road\ncar\ntram\n")
    (root / "val.txt").write_text("5\nmissing\n")


def test_more_than_ten_planted_errors_are_reported_at_once(recipe_file, root):
    plant_errors(root)
    result = check(recipe_file)
    for kind, files in {
        "lists, folders and names that do not match: 1": ["`missing`"],
        "images that cannot be read: 2": ["images/3.png is empty", "images/4.png"],
        "masks that cannot be read: 1": ["masks/9.png"],
        "masks whose size differs from their image: 2": ["masks/6.png is 40x48", "masks/7.png", "EXIF"],
        "masks with values that are not classes: 2": ["masks/0.png", "85, 170", "masks/1.png", ": 6"],
        "masks without a single pixel of a class: 1": ["masks/8.png"],
        "classes that no labelled mask shows: 1": ["tram (id 2)", "3 more cannot be counted"],
        "the same image in several splits: 1": ["copy.bmp = val: "],
        "names that differ only in upper and lower case: 1": ["Street.png"],
    }.items():
        found(result, kind, *files)
    assert "error: 12 errors and 3 notes in the data set of recipe" in result.stderr
    assert "Fix them and run `usrn data check` again." in result.stderr
    assert "usrn data check" not in result.stdout  # advice of errors in other commands


def test_json_lists_everything_and_the_exit_code_stays(recipe_file, root):
    for index in range(30):
        (root / f"images/empty_{index:02}.png").write_bytes(b"")
    result = check(recipe_file, options=("--quiet", "--json"))
    assert result.exit_code == 4
    value = json.loads(result.stdout)
    assert value["faults"] == len(value["findings"]) == 30
    assert value["findings"][0] == {
        "kind": "unreadable_image",
        "fault": True,
        "message": f"{root}/images/empty_00.png is empty",
        "advice": "Copy the file again, or remove it from the lists.",
        "files": [f"{root}/images/empty_00.png"],
    }
    assert value["splits"]["labelled"]["pixels"] == {"road": 5400, "car": 360}
    assert value["splits"]["unlabelled"]["images"] == 32 and value["splits"]["unlabelled"]["masks"] == 0
    assert value["splits"]["val"]["sizes"]["median"] == [48, 40]
    assert value["classes"][1] == {"id": 1, "name": "car", "colour": [128, 0, 0], "rare": True}
    assert len(value["fingerprint"]) == 16 and 0 < value["class_balance_rate"] < 1
    text = check(recipe_file).stdout
    assert "empty_19.png" in text and "empty_20.png" not in text
    assert "  and 10 more; --json lists all" in text


def test_json_of_a_sound_data_set(recipe_file):
    result = check(recipe_file, options=("--quiet", "--json"))
    assert result.exit_code == 0 and result.stderr == ""
    assert json.loads(result.stdout)["findings"] == []


def test_an_interrupt_is_one_line_and_leaves_nothing(recipe_file, tmp_path, monkeypatch):
    def interrupted(split, sample, dataset):
        raise KeyboardInterrupt  # as if Ctrl-C had come while this file was read

    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(dataset_inspection, "read_entry", interrupted)
    result = check(recipe_file)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_show_writes_beside_us_and_replaces_only_when_told_to(recipe_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = data("show", recipe_file, "--images", 1)
    assert (result.exit_code, result.stdout) == (0, "recipe_views.png\n"), result.output
    first = (tmp_path / "recipe_views.png").read_bytes()
    again = data("show", recipe_file, "--images", 1, "--seed", 5)
    assert again.exit_code == 9 and "recipe_views.png exists already" in again.stderr
    assert "--force" in again.stderr
    assert (tmp_path / "recipe_views.png").read_bytes() == first
    assert data("show", recipe_file, "--images", 1, "--seed", 5, "--force").exit_code == 0
    assert (tmp_path / "recipe_views.png").read_bytes() != first
    same = data("show", recipe_file, "--images", 1, "--seed", 0, "--out", "sub/views.png")
    assert same.exit_code == 0 and (tmp_path / "sub/views.png").read_bytes() == first


def test_show_refuses_before_any_work(recipe_file, root, tmp_path):
    result = data("show", recipe_file, "--out", tmp_path / "views.jpg")
    assert result.exit_code == 2 and "must end in .png" in result.stderr
    for index in (0, 1, 2):
        mask(root / f"masks/{index}.png", 9)
    result = data("show", recipe_file, "--out", tmp_path / "views.png")
    assert result.exit_code == 4 and "ids outside" in result.stderr
    assert not list(tmp_path.glob("*views*")) and not list(tmp_path.glob(".*views*"))
