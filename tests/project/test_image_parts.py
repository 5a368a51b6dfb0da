from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from usrn_keras.data.random_split import Share
from usrn_keras.errors import DataError
from usrn_keras.project.image_parts import draw_parts
from usrn_keras.project.naming_rules import Rule
from usrn_keras.project.pairing import Pairing
from usrn_keras.project.project_request import HeldOut
from usrn_keras.project.sources import Sources

NAMES = [f"{i:02}" for i in range(20)]


def sources(masked=10, *, names=NAMES, apart=()):
    images = {name: Path("i", f"{name}.png") for name in names}
    masks = {name: Path("m", f"{name}.png") for name in names[:masked]}
    return Sources(Pairing(Rule(), images, masks, (), ()), dict(apart))


def shows(*classes_of_image, classes=3):
    """`(images, classes)` pixels, one in every class that is named."""
    pixels = np.zeros((len(classes_of_image), classes), int)
    for row, shown in enumerate(classes_of_image):
        pixels[row, list(shown)] = 1
    return pixels


ALL = shows(*[(0, 1, 2)] * 10)
FIFTH = HeldOut("val", share=Share("1/5"))


def test_shares_of_the_images_with_masks():
    parts = draw_parts(sources(), [FIFTH, HeldOut("test", share=Share("1/10"))], ALL)
    assert [len(part) for part in (parts.labelled, parts.unlabelled, parts.val, parts.test)] == [7, 10, 2, 1]
    together = [*parts.labelled, *parts.unlabelled, *parts.val, *parts.test]
    assert sorted(together) == NAMES
    assert parts == draw_parts(sources(), [FIFTH, HeldOut("test", share=Share("1/10"))], ALL)
    others = [draw_parts(sources(), [FIFTH], ALL, seed=seed).val for seed in range(5)]
    assert len(set(others)) > 1


@pytest.mark.parametrize("seed", range(6))
def test_val_never_takes_the_only_image_of_a_class(seed):
    pixels = shows((0, 1, 2), *[(0,)] * 8, (0, 1))
    parts = draw_parts(sources(), [FIFTH], pixels, seed=seed)
    assert "00" in parts.labelled


@pytest.mark.parametrize("seed", range(6))
def test_val_takes_the_only_image_of_none_of_several_rare_classes(seed):
    pixels = shows(*[(0,)] * 7, (0, 1), (0, 2), (0, 3), classes=4)
    parts = draw_parts(sources(), [FIFTH], pixels, seed=seed)
    assert {"07", "08", "09"} <= set(parts.labelled)


@pytest.mark.parametrize("seed", range(6))
def test_few_labelled_images_show_the_frequent_classes_first(seed):
    pixels = shows(*[(0,)] * 6, (1,), *[(2,)] * 3)
    parts = draw_parts(sources(), [FIFTH], pixels, labelled=Share("1/4"), seed=seed)
    assert len(parts.labelled) == 2 and "06" not in parts.labelled
    assert set(parts.labelled) & {"07", "08", "09"}


@pytest.mark.parametrize("seed", range(6))
def test_val_shows_the_classes_that_it_can(seed):
    pixels = shows(*[(0,)] * 7, (0, 1), (0, 2), (0, 1, 2))
    parts = draw_parts(sources(), [FIFTH], pixels, seed=seed)
    assert set(parts.val) & {"07", "08"}  # training keeps 09, which shows all


def test_two_images():
    parts = draw_parts(sources(2), [FIFTH], shows((0,), (1, 2)))
    assert len(parts.val) == len(parts.labelled) == 1


def test_too_few():
    with pytest.raises(DataError, match=r"1 image\(s\) with masks are too few: .* 1 for val"):
        draw_parts(sources(1), [FIFTH], ALL[:1])


def test_all_images_have_masks():
    parts = draw_parts(sources(10, names=NAMES[:10]), [FIFTH], ALL)
    assert [len(part) for part in (parts.labelled, parts.unlabelled, parts.val)] == [8, 0, 2]
    parts = draw_parts(sources(10, names=NAMES[:10]), [FIFTH], ALL, labelled=Share("1/4"))
    assert [len(part) for part in (parts.labelled, parts.unlabelled, parts.val)] == [2, 6, 2]


def test_folders_below_and_apart():
    names = [*(f"train/{i}" for i in range(4)), *(f"val/{i}" for i in range(2))]
    images = {name: Path("i", f"{name}.png") for name in names}
    masks = {name: images[name] for name in ("train/0", "train/1", "val/0")}
    main = Pairing(Rule(), images, masks, (), ())
    apart = Pairing(Rule(), {"x": Path("t/x.png")}, {"x": Path("t/x.png")}, (), ())
    held_out = [HeldOut("val", inside=Path("i/val")), HeldOut("test", images=Path("t"), masks=Path("t"))]
    parts = draw_parts(Sources(main, {"test": apart}), held_out, ALL[:4])
    assert parts.labelled == ("train/0", "train/1") and parts.unlabelled == ("train/2", "train/3")
    assert parts.val == ("val/0",) and parts.test == ("test/x",)
    with pytest.raises(DataError, match="no image in i/other has a mask"):
        draw_parts(Sources(main), [HeldOut("val", inside=Path("i/other"))], ALL[:3])
