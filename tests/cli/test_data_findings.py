"""Each kind of finding of `usrn data check`: its line and its exit code."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.cli.data_tools import check, found, image, mask, turned


def test_a_sound_data_set(recipe_file):
    result = check(recipe_file, options=())
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith("no errors and no notes in the data set of recipe\n")
    assert "error:" not in result.stdout and "note:" not in result.stdout
    assert "reading 6/6" in result.stderr and "reading" not in result.stdout
    assert "\x1b" not in result.output and "…" not in result.output
    road = next(line for line in result.stdout.splitlines() if "road" in line)
    assert [cell.strip() for cell in road.split("│")[4:7]] == ["5.40k", "93.75", "3/3"]
    assert "car *" in result.stdout
    assert "class balance rate of the labelled pixels: 0.1" in result.stdout
    assert "Masks of unlabelled images are not read" in result.stdout
    assert "48x40" in result.stdout


def test_a_data_set_that_does_not_begin(recipe_file):
    result = check(recipe_file, "data.root=nowhere")
    found(
        result,
        "lists, folders and names",
        "data.root = `nowhere` is not a folder",
        "ROOT/images/ANY/NAME.jpg",
    )
    assert "┃" not in result.stdout  # no tables of nothing
    assert json.loads(check(recipe_file, "data.root=nowhere", options=("--json",)).stdout)["faults"] == 1


def test_lists_that_do_not_fit_do_not_stop_the_reading(recipe_file, root):
    (root / "val.txt").write_text("5\nmissing\n../secret\n")
    (root / "images/3.png").write_bytes(b"")
    result = check(recipe_file)
    found(result, "lists, folders and names", "there is no image `missing`", "../secret")
    found(result, "images that cannot be read", f"{root}/images/3.png is empty")
    assert "because they contain errors" in result.stdout
    assert "error: 3 errors and no notes in the data set of recipe" in result.stderr


def test_unreadable_images(recipe_file, root):
    (root / "images/0.png").write_bytes(b"")
    (root / "images/3.png").write_text("no image")
    image(root / "images/4.jpg")
    (root / "images/4.png").unlink()
    whole = (root / "images/4.jpg").read_bytes()
    (root / "images/4.jpg").write_bytes(whole[: len(whole) // 2])
    paragraph = found(
        check(recipe_file), "images that cannot be read: 3", "0.png is empty", "3.png cannot be"
    )
    assert "4.jpg cannot be read as an image: it is truncated" in paragraph
    assert "-> Copy the file again, or remove it from the lists." in paragraph


def test_unreadable_masks(recipe_file, root):
    (root / "masks/1.png").write_text("no image")
    whole = (root / "masks/5.png").read_bytes()
    (root / "masks/5.png").write_bytes(whole[: len(whole) // 2])
    found(check(recipe_file), "masks that cannot be read: 2", "1.png cannot be read", "5.png cannot be read")


def test_size_mismatch(recipe_file, root):
    Image.fromarray(np.zeros((40, 47), np.uint8)).save(root / "masks/0.png")
    found(
        check(recipe_file),
        "masks whose size differs from their image: 1",
        f"{root}/masks/0.png is 47x40 pixels, its image {root}/images/0.png is 48x40",
        "-> A mask must have exactly the width and height of its image.",
    )


def test_size_mismatch_by_exif_names_it(recipe_file, root):
    (root / "images/0.png").unlink()
    turned(root / "images/0.jpg", 6, (40, 48))  # shown as 40 x 48
    found(
        check(recipe_file),
        "masks whose size differs",
        "its image",
        "is 40x48 (EXIF orientation 6 of the image, 1 of the mask; 1 is upright)",
        "-> EXIF rotates only one of the two",
    )


def test_exif_that_sizes_do_not_judge_is_a_note(recipe_file, root):
    (root / "images/0.png").unlink()
    turned(root / "images/0.jpg", 3, (40, 48))
    found(
        check(recipe_file),
        "images rotated by EXIF",
        "0.jpg",
        "EXIF orientation 3 of the image",
        "data show",
        error=False,
    )


def test_a_mask_drawn_on_the_turned_image_is_sound(recipe_file, root):
    (root / "images/0.png").unlink()
    turned(root / "images/0.jpg", 6, (48, 40))  # shown as 48 x 40, as the mask is
    assert check(recipe_file).stdout.endswith("no errors and no notes in the data set of recipe\n")


def test_ids_outside_the_classes(recipe_file, root):
    mask(root / "masks/1.png", 7)
    found(
        check(recipe_file),
        "masks with values that are not classes: 1",
        "1.png contains ids outside the 2 classes: 7",
        "Allowed are 0 to 1 and ignore_index 255",
    )


def test_stretched_ids_name_the_key(recipe_file, root):
    for index in (0, 1, 2, 5):
        mask(root / f"masks/{index}.png", np.arange(48) // 12 * 85)
    result = check(recipe_file, 'data.classes=["a", "b", "c", "d"]')
    found(
        result, "values that are not classes: 4", "0.png", "85, 170", "set data.mask_ids = [0, 85, 170, 255]"
    )
    advised = ["data.mask_ids=[0, 85, 170, 255]", "data.ignore_index=-1"]
    assert check(recipe_file, 'data.classes=["a", "b", "c", "d"]', *advised).exit_code == 0


def test_anti_aliased_masks_are_recognised(recipe_file, root):
    sharp = np.zeros((40, 48), np.uint8)
    cv2.circle(sharp, (24, 20), 12, 200, -1)
    mask(root / "masks/0.png", cv2.GaussianBlur(sharp, (3, 3), 0))
    found(
        check(recipe_file, "data.ignore_index=200"),
        "values that are not classes: 1",
        "0.png",
        "only along borders",
        "JPEG",
    )


def test_unknown_colours(recipe_file, root):
    (root / "palette.txt").write_text("0 0 0\n255 0 0\n")
    for index in (0, 1, 2, 5):
        colours = np.zeros((40, 48, 3), np.uint8)
        colours[:9] = (255, 0, 0)
        colours[9:11] = (0, 9, 0) if index == 2 else 0
        Image.fromarray(colours).save(root / f"masks/{index}.png")
    result = check(recipe_file, "data.mask_format=colours")
    found(
        result,
        "values that are not classes: 1",
        "2.png contains colours of no class: 0 9 0 (96 pixels)",
        "palette.txt",
    )


def test_interpolated_ids_are_suspicious(recipe_file, root):
    sharp = np.zeros((96, 96), np.uint8)
    for row, column, value in ((30, 30, 9), (66, 60, 5), (30, 70, 7), (70, 22, 3)):
        cv2.circle(sharp, (column, row), 14, value, -1)
    mask(root / "masks/2.png", cv2.resize(sharp, (48, 40), interpolation=cv2.INTER_LINEAR))
    mask(root / "masks/1.png", np.arange(48) // 5)  # every class is there
    names = ", ".join(f'"{name}"' for name in "abcdefghij")
    result = check(recipe_file, f"data.classes=[{names}]", 'data.val=""', 'data.val="val.txt"')
    found(
        result,
        "allowed but suspicious values: 1",
        "2.png",
        "% of the borders have an id",
        "nearest-neighbour",
    )


def test_black_and_white_masks_are_suspicious(recipe_file, root):
    for index in (0, 1, 2, 5):
        mask(root / f"masks/{index}.png", [0] * 40 + [255] * 8)
    result = check(recipe_file)
    found(result, "allowed but suspicious values: 1", "all 4 masks", "set data.mask_ids = [0, 255]")
    found(result, "classes that no labelled mask shows: 1", "car (id 1)")
    assert check(recipe_file, "data.mask_ids=[0, 255]", "data.ignore_index=-1").exit_code == 0


def test_masks_without_a_pixel(recipe_file, root):
    mask(root / "masks/1.png", 255)
    found(check(recipe_file), "without a single pixel of a class: 1", "1.png: all 1920 pixels are ignored")


def test_classes_that_are_absent(recipe_file, root):
    mask(root / "masks/5.png", 0)
    found(check(recipe_file), "no val or test mask shows: 1", "car (id 1): no pixel in 1 val", error=False)
    for index in (0, 1, 2):
        mask(root / f"masks/{index}.png", 1)
    found(check(recipe_file), "no labelled mask shows: 1", "road (id 0): no pixel in 3 labelled masks")


def test_copies_across_splits_even_when_saved_again(recipe_file, root):
    Image.open(root / "images/5.png").save(root / "images/copy.bmp")
    found(
        check(recipe_file),
        "the same image in several splits: 1",
        f"unlabelled: {root}/images/copy.bmp = val: {root}/images/5.png",
        "-> Keep it in one split",
    )


def test_copies_within_a_split_are_a_note(recipe_file, root):
    Image.open(root / "images/3.png").save(root / "images/4.png")
    found(check(recipe_file), "training or in one split: 1", "3.png = unlabelled:", error=False)


def test_names_that_differ_in_case(recipe_file, root):
    image(root / "images/Street.png", 1)
    image(root / "images/street.png", 2)
    if len(list((root / "images").glob("[sS]treet.png"))) < 2:
        pytest.skip("case does not count here")
    found(check(recipe_file), "upper and lower case: 1", "Street.png and ", "rename all but one")


def test_small_images_and_mixed_sizes_are_notes(recipe_file, root):
    image(root / "images/3.png", size=(10, 12))
    result = check(recipe_file)
    found(result, "much smaller than the crop: 1", "3.png is 12x10 pixels, the crop 32x32", error=False)
    found(result, "several sizes: 1", "from 12x10 to 48x40, most often 48x40 (5 of 6 images)", error=False)
    assert "no errors and 2 notes" in result.stdout
