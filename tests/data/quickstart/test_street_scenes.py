"""The embedded data set: the promises of its documentation, on small copies of it."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from usrn_keras.data.quickstart import CLASSES, PALETTE, make_quickstart, street_scenes
from usrn_keras.data.quickstart.camera import Camera
from usrn_keras.data.quickstart.canvas import SceneCanvas
from usrn_keras.data.quickstart.scene import draw_scene
from usrn_keras.errors import DataError, StorageError

SMALL = {"labelled": 2, "unlabelled": 3, "val": 2, "size": (48, 72)}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """Enough scenes of the default size to measure shares, drawn once."""
    return make_quickstart(tmp_path_factory.mktemp("quickstart") / "scenes", unlabelled=2, val=16)


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
    assert [len(listed(scenes, split)) for split in ("labelled", "unlabelled", "val")] == [12, 2, 16]
    names = {name for split in ("labelled", "unlabelled", "val") for name in listed(scenes, split)}
    assert {path.stem for path in (scenes / "images").glob("*.jpg")} == names and len(names) == 30


def test_unlabelled_images_have_no_mask_among_the_masks(scenes):
    masked = {path.stem for path in (scenes / "masks").iterdir()}
    assert masked == {*listed(scenes, "labelled"), *listed(scenes, "val")}
    assert {path.stem for path in (scenes / "masks_unlabelled").iterdir()} == set(
        listed(scenes, "unlabelled")
    )


def test_masks_match_their_images_and_carry_the_palette(scenes):
    for folder in ("masks", "masks_unlabelled"):
        for path in (scenes / folder).iterdir():
            with Image.open(path) as mask, Image.open(scenes / "images" / f"{path.stem}.jpg") as image:
                assert mask.mode == "P" and mask.size == image.size == (192, 128)
                assert np.asarray(mask).max() < len(CLASSES)
    np.testing.assert_array_equal(np.array(mask.getpalette(), np.uint8)[:24].reshape(8, 3), PALETTE)


def test_classes_are_as_unbalanced_as_promised(scenes):
    names = listed(scenes, "val")
    share = dict(zip(CLASSES, pixel_counts(scenes, "masks", names) / (len(names) * 128 * 192), strict=True))
    assert all(share[name] > 0.1 for name in ("sky", "road", "building"))
    assert all(0.02 < share[name] < 0.15 for name in ("tree", "car"))
    assert all(0.004 < share[name] < 0.02 for name in ("person", "pole", "sign"))


@pytest.mark.parametrize("seed", [0, 1])
def test_first_labelled_and_val_image_hold_every_class(tmp_path, seed):
    root = make_quickstart(tmp_path / "scenes", seed=seed, labelled=1, unlabelled=1, val=1)
    for split in ("labelled", "val"):
        assert np.all(pixel_counts(root, "masks", listed(root, split)) > 0)


def test_same_seed_same_bytes(tmp_path):
    first, second = (make_quickstart(tmp_path / name, **SMALL) for name in ("a", "b"))
    assert contents(first) == contents(second)


def test_other_seed_other_scenes(tmp_path):
    first, second = (make_quickstart(tmp_path / str(seed), seed=seed, **SMALL) for seed in (0, 1))
    assert not set(contents(first / "images").values()) & set(contents(second / "images").values())


def test_larger_counts_keep_the_scenes(tmp_path):
    small = contents(make_quickstart(tmp_path / "small", **SMALL) / "images")
    large = contents(make_quickstart(tmp_path / "large", **{**SMALL, "unlabelled": 5, "val": 3}) / "images")
    assert small.items() < large.items()


def test_second_call_returns_at_once(tmp_path, monkeypatch):
    root = make_quickstart(tmp_path / "scenes", **SMALL)
    monkeypatch.setattr(street_scenes, "draw_scene", None)  # would fail if anything were drawn
    assert make_quickstart(root, **SMALL) == root


def test_empty_folder_is_filled(tmp_path):
    assert (make_quickstart(tmp_path, **SMALL) / "classes.txt").exists()


def test_other_parameters_are_refused_by_name(tmp_path):
    root = make_quickstart(tmp_path / "scenes", **SMALL)
    with pytest.raises(DataError, match="contains other quickstart scenes") as caught:
        make_quickstart(root, **{**SMALL, "seed": 5, "val": 9})
    assert caught.value.errors == (
        "`seed`: the folder has 0, required is 5",
        "`val`: the folder has 2, required is 9",
    )
    assert "Delete" in caught.value.hint


def test_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="contains no quickstart scenes"):
        make_quickstart(tmp_path, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_all_faults_of_the_arguments_at_once(tmp_path):
    with pytest.raises(DataError) as caught:
        make_quickstart(tmp_path / "scenes", seed=-1, labelled=0, val=-2, size=(16, 192))
    assert [fault.split("`")[1] for fault in caught.value.errors] == ["labelled", "val", "seed", "size"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
def test_interrupted_build_leaves_nothing(tmp_path, monkeypatch, interruption):
    drawn = []

    def draw_three(rng, size):
        if len(drawn) == 3:
            raise interruption
        drawn.append(size)
        return draw_scene(rng, size)

    monkeypatch.setattr(street_scenes, "draw_scene", draw_three)
    with pytest.raises(interruption):
        make_quickstart(tmp_path / "scenes", **{**SMALL, "unlabelled": 20})
    assert list(tmp_path.iterdir()) == []


def test_full_disk_is_a_storage_error(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(street_scenes, "_write_scene", full)
    with pytest.raises(StorageError, match="No space left"):
        make_quickstart(tmp_path / "scenes", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_the_slower_of_two_builders_takes_the_scenes_of_the_faster(tmp_path, monkeypatch):
    root, write = tmp_path / "scenes", street_scenes._write

    def overtaken(building, parameters):
        write(building, parameters)
        monkeypatch.setattr(street_scenes, "_write", write)
        make_quickstart(root, **SMALL)

    monkeypatch.setattr(street_scenes, "_write", overtaken)
    assert make_quickstart(root, **SMALL) == root
    assert [path.name for path in tmp_path.iterdir()] == ["scenes"]


def test_two_processes_at_once(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        roots = [pool.apply_async(make_quickstart, (tmp_path / "scenes",), SMALL) for _ in range(2)]
        assert [root.get(timeout=60) for root in roots] == [tmp_path / "scenes"] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["scenes"]


@pytest.mark.parametrize("size", [(32, 32), (33, 95), (96, 40)])
def test_scenes_of_odd_sizes(size):
    for seed in range(5):
        image, mask = draw_scene(np.random.default_rng(seed), size)
        assert image.shape == (*size, 3) and image.dtype == np.uint8
        assert mask.shape == size and mask.max() < len(CLASSES)


def test_every_kind_of_surface_varies_within_its_class(scenes):
    """The frequent classes must fall into subclasses: their mean colours spread widely over the images."""
    names = listed(scenes, "val")
    for class_id in map(CLASSES.index, ("sky", "road", "building")):
        means = []
        for name in names:
            mask = np.asarray(Image.open(scenes / "masks" / f"{name}.png")) == class_id
            if mask.sum() > 200:
                means.append(cv2.imread(str(scenes / "images" / f"{name}.jpg"))[mask].mean(axis=0))
        assert np.std(means, axis=0).mean() > 15


def test_camera_takes_pixels_back_to_where_they_came_from():
    camera = Camera(focal=100.0, horizon=50.0, vanishing=60.0, eye=1.5, size=(100, 120))
    x, z = camera.ground()
    row, column = 20, 33
    point = np.array([x[row, column], 0.0, z[row, 0]])
    np.testing.assert_allclose(camera.project(point), [column, camera.ground_row + row], atol=1e-3)
    wall = camera.side_wall(4.0, 8.0, 20.0, 6.0)
    point = np.array([4.0, wall.height[5, 3], wall.depth[0, 3]])
    np.testing.assert_allclose(
        camera.project(point), [wall.columns.start + 3, wall.rows.start + 5], atol=1e-3
    )


def test_walls_out_of_sight_are_none():
    camera = Camera(focal=100.0, horizon=50.0, vanishing=60.0, eye=1.5, size=(100, 120))
    assert camera.side_wall(4.0, 1.0, 2.0, 6.0) is None  # leaves the picture before it comes near enough
    assert camera.side_wall(4.0, 0.1, 1.0, 6.0) is None  # behind the nearest depth
    assert camera.front_wall(10.0, 50.0, 60.0, 6.0) is None
    assert camera.entry(4.0) == pytest.approx(100 * 4 / 60)


def test_canvas_paints_image_and_mask_alike():
    canvas = SceneCanvas((20, 30))
    canvas.polygon(np.array([(5, 5), (15, 5), (15, 12), (5, 12)]), np.array([1, 0.5, 0.25], np.float32), 3)
    np.testing.assert_array_equal(canvas.mask == 3, canvas.image[..., 0] == 1)
    assert (canvas.mask == 3).sum() == 11 * 8
    canvas.darken(np.array([(0, 0), (30, 0), (30, 20), (0, 20)]), 0.5)
    assert canvas.image.max() == 0.5 and (canvas.mask == 3).sum() == 11 * 8
