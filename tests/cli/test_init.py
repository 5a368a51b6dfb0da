"""The real command on tiny folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tests.cli.init_tools import COLOURS, dataset_of, sizes, usrn_init
from tests.project.made_folders import SIZE, make_folders, write_mask, write_palette_mask, write_photo
from usrn_cli.main import main
from usrn_keras.data import load_dataset, read_mask
from usrn_keras.inspection import inspect_data
from usrn_keras.recipe import load_recipe


def test_what_is_printed_and_written(tmp_path):
    make_folders(tmp_path, COLOURS, mask="masks/{}_gt.png")
    result = usrn_init(tmp_path, "--ignore", "0,0,0")
    assert result.exit_code == 0, result.stderr
    assert "\x1b" not in result.stdout + result.stderr and "…" not in result.stdout
    assert "reading images and masks 8/8" in result.stderr
    recipe = tmp_path / "my_project/my_project.toml"
    loaded = load_recipe(str(recipe))
    assert (loaded.training.method, loaded.training.start) == ("prototype_ensemble", "baseline")
    assert (loaded.options.threshold, loaded.options.lambda_u) == (0.75, 1.0)
    assert load_recipe(str(recipe), ["training.method=usrn"]).options.terms[0] == "msl"
    for line in (
        "images: 4 labelled, 3 unlabelled, 1 val, 0 test; fingerprint of the lists ",
        "names: image {name}, mask {name}_gt; masks: RGB colours",
        "class balance rate: ",
        "assumed: a fifth of the images with masks is val",
        f"  usrn data check {recipe}",
        f"usrn fit {recipe}",
    ):
        assert line in result.stdout
    assert {path.name for path in recipe.parent.iterdir()} == {
        "my_project.toml", "classes.txt", "palette.txt", "lists",
    }  # fmt: skip
    assert (recipe.parent / "palette.txt").read_text() == "128 64 128\n255 0 0\n"
    text = recipe.read_text()
    for heading in ("Reproduces", "Expected", "Hardware", "Time", "Command"):
        assert f"\n# {heading}  " in text
    printed = [line.removeprefix("assumed: ") for line in result.stdout.splitlines() if "assumed: " in line]
    commented = text.replace("\n#   ", " ")
    assert len(printed) > 5 and all(f"# assumed: {line}" in commented for line in printed)
    assert max(len(line.replace(str(tmp_path), "")) for line in text.splitlines()) <= 110
    assert not list(tmp_path.glob(".*"))


def test_json_alone_on_stdout(tmp_path):
    make_folders(tmp_path)
    result = usrn_init(tmp_path, "--json", "--quiet")
    assert result.stderr == ""
    value = json.loads(result.stdout)
    assert [entry["name"] for entry in value["classes"]] == ["class_0", "class_1", "class_2"]
    assert sum(entry["share"] for entry in value["classes"]) == pytest.approx(1)
    assert value["images"] == {"labelled": 4, "unlabelled": 3, "val": 1, "test": 0}
    dataset = load_dataset(load_recipe(value["recipe"]).data)
    assert value["fingerprint"] == dataset.fingerprint()
    assert value["seconds"] > 0 and value["assumptions"]


@pytest.mark.parametrize(
    ("values", "write", "options", "classes", "labels"),
    [
        ((0, 1, 2), write_mask, (), 3, [0, 1, 2]),
        ((0, 1, 255), write_mask, (), 2, [0, 1, 255]),
        ((0, 255), write_mask, (), 2, [0, 1]),
        ((0, 7, 9), write_mask, (), 3, [0, 1, 2]),
        ((5, 300, 40_000), write_mask, (), 3, [0, 1, 2]),
        ((5, 300, 40_000), write_mask, ("--ignore", 5), 2, [255, 0, 1]),
        (COLOURS, write_mask, (), 3, [0, 1, 2]),
        (COLOURS, write_mask, ("--ignore", "0,0,0"), 2, [255, 0, 1]),
        (COLOURS, write_palette_mask, (), 3, [0, 1, 2]),
    ],
)
def test_every_kind_of_masks_loads(tmp_path, values, write, options, classes, labels):
    make_folders(tmp_path, values, write=write)
    dataset = dataset_of(tmp_path, *options)
    assert dataset.num_classes == classes
    for sample in (*dataset.labelled, *dataset.val):
        assert list(dict.fromkeys(read_mask(sample.mask, dataset)[0].tolist())) == labels


def test_palettes_that_differ_load_by_their_colours(tmp_path):
    make_folders(tmp_path, COLOURS, write=write_palette_mask)
    write_palette_mask(tmp_path / "masks/a0.png", COLOURS[::-1])
    dataset = dataset_of(tmp_path)
    rows = {sample.name: read_mask(sample.mask, dataset)[0] for sample in (*dataset.labelled, *dataset.val)}
    assert rows["a0"].tolist() == rows["a1"][::-1].tolist() or rows["a0"][0] == rows["a1"][-1]


@pytest.mark.parametrize(
    ("image", "mask", "folders"),
    [
        ("photos/{}.jpg", "masks/{}.png", {}),
        ("photos/{}.jpg", "masks/{}.jpg.png", {}),
        ("photos/{}_leftImg8bit.png", "masks/{}_gtFine_labelIds.png", {}),
        ("photos/city/{}.png", "masks/city/mask_{}.tif", {}),
        ("both/{}.png", "both/{}_seg.png", {"images": "both", "masks": "both"}),
        ("both/{}_rgb.png", "both/{}.png", {"images": "both", "masks": "both"}),
        ("both/img_{}.png", "both/gt_{}.png", {"images": "both", "masks": "both"}),
        ("both/{}.jpg", "both/{}.png", {"images": "both", "masks": "both"}),
        ("all/{}.png", "all/masks/{}.png", {"images": "all", "masks": "all/masks"}),
    ],
)  # fmt: skip
def test_every_way_to_name_them_loads(tmp_path, image, mask, folders):
    make_folders(tmp_path, image=image, mask=mask)
    dataset = dataset_of(tmp_path, **folders)
    assert sizes(dataset) == [4, 3, 1, 0]
    for sample in (*dataset.labelled, *dataset.val):
        assert sample.image.name == Path(image.format(Path(sample.name).name)).name
        assert sample.mask.name == Path(mask.format(Path(sample.name).name)).name


def test_unusual_rules_can_be_given(tmp_path):
    make_folders(tmp_path, mask="masks/{}_ids.png")
    make_folders(tmp_path, COLOURS, mask="masks/{}_colours.png")
    refused = usrn_init(tmp_path)
    assert refused.exit_code == 4
    assert "2 naming rules pair 5 images each" in refused.stderr
    dataset = dataset_of(tmp_path, "--mask-pattern", "{name}_ids")
    assert dataset.colour_map is None and sizes(dataset) == [4, 3, 1, 0]


def test_val_and_test_folders(tmp_path):
    for part in ("train", "val", "test"):
        make_folders(tmp_path / part)
    train = {"images": "train/photos", "masks": "train/masks"}
    dataset = dataset_of(tmp_path, "--val", tmp_path / "val/photos", "--test", "1/5", **train)
    assert sizes(dataset) == [4, 3, 5, 1]
    assert dataset.val[0].name == "val/a0"
    shutil.rmtree(tmp_path / "my_project")
    options = ["--val", tmp_path / "val/photos", "--val-masks", tmp_path / "val/masks"]
    result = usrn_init(tmp_path, *options, "--test", tmp_path / "test/photos", **train)
    assert "note: 3 val image(s) have no mask and are left out: a5.png, a6.png, a7.png" in result.stdout
    assert "assumed: the masks of test are in " in result.stdout
    loaded = load_dataset(load_recipe(str(tmp_path / "my_project/my_project.toml")).data)
    assert sizes(loaded) == [5, 3, 5, 5]


def test_folders_below_images_that_are_called_val_and_test(tmp_path):
    for part in ("train", "val", "test"):
        make_folders(tmp_path, image=f"photos/{part}/{{}}.png", mask=f"masks/{part}/{{}}.png")
    result = usrn_init(tmp_path)
    assert f"assumed: the folder {tmp_path}/photos/val is used as val" in result.stdout
    dataset = load_dataset(load_recipe(str(tmp_path / "my_project/my_project.toml")).data)
    assert sizes(dataset) == [5, 3, 5, 5]


def test_labelled_share_where_every_image_has_a_mask(tmp_path):
    make_folders(tmp_path)
    for i in range(8):
        write_mask(tmp_path / f"masks/a{i}.png", (0, 1, 2))
    assert sizes(dataset_of(tmp_path, "--labelled", "1/3", name="split")) == [2, 4, 2, 0]
    result = usrn_init(tmp_path, name="full")
    assert "training.method = 'supervised'; --labelled 1/4 uses the masks of a quarter" in result.stdout
    recipe = load_recipe(str(tmp_path / "full/full.toml"))
    assert recipe.training.method == "supervised" and sizes(load_dataset(recipe.data)) == [6, 0, 2, 0]
    assert not inspect_data(recipe).errors


def test_names_of_the_classes(tmp_path):
    make_folders(tmp_path)
    (tmp_path / "names.txt").write_text("sky\nroad\ncar\n")
    assert dataset_of(tmp_path, "--names", tmp_path / "names.txt").classes == ("sky", "road", "car")
    (tmp_path / "names.txt").write_text("sky\nroad\n")
    result = usrn_init(tmp_path, "--names", tmp_path / "names.txt", name="other")
    assert result.exit_code == 4
    assert "--names has 2 names for 3 classes; the masks contain 3 values:" in result.stderr
    assert "  - 0: 1,320 pixels" in result.stderr  # 11 of 32 columns


def test_a_project_may_be_moved(tmp_path, monkeypatch):
    make_folders(tmp_path)
    assert usrn_init(tmp_path).exit_code == 0
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "my_project").rename(tmp_path / "elsewhere/renamed")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert sizes(load_dataset(load_recipe("renamed/my_project.toml").data)) == [4, 3, 1, 0]


def test_leftovers_are_told(tmp_path):
    make_folders(tmp_path, image="photos/{}_rgb.png")
    write_mask(tmp_path / "masks/z9.png", (0, 1, 2))
    write_photo(tmp_path / "photos/other.png")
    result = usrn_init(tmp_path)
    assert "note: 1 mask(s) have no image: z9.png" in result.stdout
    assert "note: 1 image(s) do not match `{name}_rgb` and are left out: other.png" in result.stdout
    dataset = load_dataset(load_recipe(str(tmp_path / "my_project/my_project.toml")).data)
    assert sizes(dataset) == [4, 3, 1, 0]


def test_an_empty_folder_is_filled(tmp_path):
    make_folders(tmp_path)
    (tmp_path / "my_project").mkdir()
    assert sizes(dataset_of(tmp_path)) == [4, 3, 1, 0]


def test_large_photographs_and_a_gpu(tmp_path):
    for i in range(4):
        write_photo(tmp_path / f"photos/a{i}.jpg", size=(600, 1800))
    for i in range(3):
        write_mask(tmp_path / f"masks/a{i}.png", (0, 1), (600, 1800))
    assert usrn_init(tmp_path, "--gpu", name="gpu").exit_code == 0
    recipe = load_recipe(str(tmp_path / "gpu/gpu.toml"))
    assert (recipe.network.backbone, recipe.views.long_side) == ("keras_cv/resnet50", 1024)
    assert recipe.training.method == "usrn"
    result = usrn_init(tmp_path)
    recipe = load_recipe(str(tmp_path / "my_project/my_project.toml"))
    assert (recipe.network.backbone, recipe.views.long_side) == ("keras/mobilenet", 512)
    assert recipe.evaluation.scales == [0.284] and recipe.subclasses.rows_per_image == 20_000
    assert "assumed: large images are trained and evaluated at 0.284 of their size" in result.stdout
    assert "note: val has only 1 image(s)" in result.stdout


def test_images_of_any_kind(tmp_path):
    make_folders(tmp_path, (0, 1))
    grey = np.random.default_rng(0).integers(0, 256, SIZE, dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "photos/a0.png")
    Image.fromarray(grey.astype(np.uint16) * 200).save(tmp_path / "photos/a1.png")
    Image.fromarray(grey).convert("CMYK").save(tmp_path / "photos/big.jpg")
    assert sizes(dataset_of(tmp_path)) == [4, 4, 1, 0]


def test_from_folders_to_a_trained_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_folders(tmp_path, COLOURS, mask="masks/{}_mask.png")
    assert usrn_init(tmp_path, "--ignore", "0,0,0", "--quiet").exit_code == 0
    tiny = {
        "network.weights": "none", "network.width": 0.25, "network.backbone_end": "conv_pw_7_relu",
        "network.aspp_channels": 8, "network.low_level_channels": 4, "network.decoder_channels": 8,
        "training.baseline_steps": 2, "training.usrn_steps": 2, "training.batch_labelled": 2,
        "training.batch_unlabelled": 2,
    }  # fmt: skip
    overrides = [part for key, value in tiny.items() for part in ("--set", f"{key}={value}")]
    recipe = str(tmp_path / "my_project/my_project.toml")
    result = CliRunner().invoke(main, ["fit", recipe, "--quiet", *overrides])
    assert result.exit_code == 0, result.stderr
    assert "rgb_128_64_128" in result.stdout and "mIoU" in result.stdout
