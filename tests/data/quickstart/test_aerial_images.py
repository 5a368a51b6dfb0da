"""The embedded data set: the promises of its documentation, on small copies of it."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usrn_keras.data.quickstart import CLASSES, PALETTE, aerial_images, make_quickstart
from usrn_keras.data.quickstart.aerial_scene import draw_scene
from usrn_keras.errors import DataError, StorageError

SMALL = {"labelled": 2, "unlabelled": 3, "val": 2, "test": 2, "size": (48, 72)}
SPLITS = ("labelled", "unlabelled", "val", "test")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """A few scenes of the default size, drawn once."""
    return make_quickstart(tmp_path_factory.mktemp("quickstart") / "scenes", unlabelled=2, val=3, test=4)


def listed(root: Path, split: str) -> list[str]:
    return (root / "lists" / f"{split}.txt").read_text().split()


def pixel_counts(root: Path, folder: str, names: list[str]) -> np.ndarray:
    masks = [np.asarray(Image.open(root / folder / f"{name}.png")) for name in names]
    return np.bincount(np.concatenate([mask.ravel() for mask in masks]), minlength=len(CLASSES))


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_layout_is_that_of_a_folder_data_set(scenes):
    assert (scenes / "classes.txt").read_text().split() == list(CLASSES)
    palette = [line.split() for line in (scenes / "palette.txt").read_text().splitlines()]
    np.testing.assert_array_equal(np.array(palette, int), PALETTE)
    assert [len(listed(scenes, split)) for split in SPLITS] == [12, 2, 3, 4]
    names = {name for split in SPLITS for name in listed(scenes, split)}
    assert {path.stem for path in (scenes / "images").glob("*.jpg")} == names and len(names) == 21


def test_unlabelled_images_have_no_mask_among_the_masks(scenes):
    masked = {path.stem for path in (scenes / "masks").iterdir()}
    assert masked == {*listed(scenes, "labelled"), *listed(scenes, "val"), *listed(scenes, "test")}
    assert {path.stem for path in (scenes / "masks_unlabelled").iterdir()} == set(
        listed(scenes, "unlabelled")
    )


def test_masks_match_their_images_and_carry_the_palette(scenes):
    for folder in ("masks", "masks_unlabelled"):
        for path in (scenes / folder).iterdir():
            with Image.open(path) as mask, Image.open(scenes / "images" / f"{path.stem}.jpg") as image:
                assert mask.mode == "P" and mask.size == image.size == (192, 128)
                assert np.asarray(mask).max() < len(CLASSES)
    np.testing.assert_array_equal(np.array(mask.getpalette(), np.uint8)[:27].reshape(9, 3), PALETTE)


def test_no_image_is_in_two_parts(scenes):
    images = [path.read_bytes() for path in (scenes / "images").iterdir()]
    assert len(set(images)) == len(images)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("imbalance", [20, 500])
def test_first_labelled_val_and_test_image_contain_every_class(tmp_path, seed, imbalance):
    counts = dict.fromkeys(SPLITS, 1)
    root = make_quickstart(tmp_path / "scenes", seed=seed, imbalance=imbalance, **counts)
    for split in ("labelled", "val", "test"):
        assert np.all(pixel_counts(root, "masks", listed(root, split)) > 0)


def test_same_seed_same_bytes(tmp_path):
    first, second = (make_quickstart(tmp_path / name, **SMALL) for name in ("a", "b"))
    assert contents(first) == contents(second)


def test_other_seed_other_scenes(tmp_path):
    first, second = (make_quickstart(tmp_path / str(seed), seed=seed, **SMALL) for seed in (0, 1))
    assert not set(contents(first / "images").values()) & set(contents(second / "images").values())


def test_larger_counts_include_the_scenes_of_smaller_ones(tmp_path):
    small = contents(make_quickstart(tmp_path / "small", **SMALL) / "images")
    large = contents(
        make_quickstart(tmp_path / "large", **{**SMALL, "unlabelled": 5, "val": 3, "test": 4}) / "images"
    )
    assert small.items() < large.items()


def test_second_call_returns_at_once(tmp_path, monkeypatch):
    root = make_quickstart(tmp_path / "scenes", **SMALL)
    monkeypatch.setattr(aerial_images, "draw_scene", None)  # would fail if anything were drawn
    assert make_quickstart(root, **SMALL) == root


def test_empty_folder_is_filled(tmp_path):
    assert (make_quickstart(tmp_path, **SMALL) / "classes.txt").exists()


def test_other_parameters_are_reported_by_name(tmp_path):
    root = make_quickstart(tmp_path / "scenes", **SMALL)
    with pytest.raises(DataError, match="contains other quickstart scenes") as caught:
        make_quickstart(root, **SMALL | {"seed": 5, "val": 9, "modes": 1, "imbalance": 100})
    assert caught.value.errors == (
        "`val`: the folder has 2, required is 9",
        "`seed`: the folder has 0, required is 5",
        "`modes`: the folder has 4, required is 1",
        "`imbalance`: the folder has 40.0, required is 100",
    )
    assert "Delete" in caught.value.hint


def test_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="contains no quickstart scenes"):
        make_quickstart(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_all_errors_of_the_arguments_are_reported_at_once(tmp_path):
    wrong = {"labelled": 0, "val": -2, "test": 0, "seed": -1, "size": (16, 192), "modes": 5, "imbalance": 19}
    with pytest.raises(DataError) as caught:
        make_quickstart(tmp_path / "scenes", **wrong)
    assert [error.split("`")[1] for error in caught.value.errors] == list(wrong)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
def test_interrupted_build_leaves_nothing(tmp_path, monkeypatch, interruption):
    drawn = []

    def draw_three(rng, size, **options):
        if len(drawn) == 3:
            raise interruption
        drawn.append(size)
        return draw_scene(rng, size, **options)

    monkeypatch.setattr(aerial_images, "draw_scene", draw_three)
    with pytest.raises(interruption):
        make_quickstart(tmp_path / "scenes", **{**SMALL, "unlabelled": 20})
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_a_storage_error(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(aerial_images, "_write_scene", full)
    with pytest.raises(StorageError, match="No space left"):
        make_quickstart(tmp_path / "scenes", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_the_slower_of_two_builders_takes_the_scenes_of_the_faster(tmp_path, monkeypatch):
    root, write = tmp_path / "scenes", aerial_images._write

    def overtaken(building, parameters):
        write(building, parameters)
        monkeypatch.setattr(aerial_images, "_write", write)
        make_quickstart(root, **SMALL)

    monkeypatch.setattr(aerial_images, "_write", overtaken)
    assert make_quickstart(root, **SMALL) == root
    assert [path.name for path in tmp_path.iterdir()] == ["scenes"]


def test_two_processes_at_once(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        roots = [pool.apply_async(make_quickstart, (tmp_path / "scenes",), SMALL) for _ in range(2)]
        assert [root.get(timeout=60) for root in roots] == [tmp_path / "scenes"] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["scenes"]
