from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.data.decoding.mask_files import RawMask
from usrn_keras.data.mask_values import pack
from usrn_keras.errors import DataError
from usrn_keras.project.class_names import Named, recognise
from usrn_keras.project.mask_kinds import count_values


def mask_of(values, mode="L", palette=None, *, width=40):
    """A mask of stripes, each of the same width."""
    table = np.array(values)
    dtype = np.uint16 if mode.startswith("I") else np.uint8
    pixels = np.repeat(table.astype(dtype), width // len(values), axis=0)
    return count_values(RawMask(np.broadcast_to(pixels, (4, *pixels.shape)).copy(), palette, mode))


def scheme_of(*masks, names=(), ignore=()):
    return recognise({f"mask {i}": mask for i, mask in enumerate(masks)}, names, ignore)


def colour(*rgb):
    return int(pack(np.array(rgb, np.uint8)))


def test_grey_ids():
    scheme = scheme_of(mask_of([0, 1]), mask_of([2, 1]))
    assert (scheme.kind, scheme.coloured, scheme.mask_ids, scheme.ignore_index) == (
        "grey ids",
        False,
        [],
        255,
    )
    assert scheme.classes == ("class_0", "class_1", "class_2")
    assert scheme.pixels.tolist() == [[80, 80, 0], [0, 80, 80]]


def test_the_highest_value_is_ignored_beside_small_ids():
    scheme = scheme_of(mask_of([0, 1, 255]))
    assert (scheme.ignored, scheme.ignore_index, scheme.mask_ids) == ((255,), 255, [])
    assert "value 255 marks pixels without a class" in scheme.assumptions[0]
    assert scheme.pixels.tolist() == [[52, 52]]


@pytest.mark.parametrize("values", [[0, 128, 255], [0, 255], [64, 255]])
def test_the_highest_value_is_a_class_beside_large_ids(values):
    scheme = scheme_of(mask_of(values))
    assert (scheme.ignored, scheme.ignore_index, scheme.mask_ids) == ((), -1, values)


def test_binary_masks():
    scheme = scheme_of(mask_of([0, 255]), mask_of([0]))
    assert scheme.kind == "binary, 0 and 255"
    assert scheme.classes == ("background", "foreground")
    assert any("255 is foreground" in assumption for assumption in scheme.assumptions)


def test_ids_with_gaps_and_16_bits():
    scheme = scheme_of(mask_of([3, 700, 20000], "I;16"))
    assert (scheme.kind, scheme.mask_ids, scheme.ignore_index) == ("16-bit ids", [3, 700, 20000], -1)
    assert scheme.classes == ("class_3", "class_700", "class_20000")
    assert scheme_of(mask_of([1, 2, 65535], "I;16")).ignored == (65535,)


def test_more_than_255_classes_leave_no_room_for_255():
    scheme = scheme_of(mask_of(range(300), "I;16", width=900))
    assert len(scheme.classes) == 300 and scheme.mask_ids == [] and scheme.ignore_index == -1


def test_palette_files_keep_their_colours():
    palette = np.array([[0, 0, 0], [200, 0, 0], [0, 200, 0]], np.uint8)
    scheme = scheme_of(mask_of([0, 1, 2], "P", palette))
    assert (scheme.kind, scheme.coloured) == ("palette indices", False)
    assert scheme.palette.tolist() == palette.tolist()


def test_a_grey_palette_gives_no_colours():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    assert scheme_of(mask_of([0, 1, 2], "P", ramp)).palette.tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0]]


def test_palettes_that_differ_count_by_their_colours():
    one = np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    scheme = scheme_of(mask_of([0, 1], "P", one), mask_of([0, 1], "P", one[::-1].copy()))
    assert (scheme.kind, scheme.coloured) == ("palette colours", True)
    assert scheme.classes == ("blue", "red")
    assert "the palettes of mask 0 and mask 1 differ" in scheme.assumptions[0]


def test_colours():
    scheme = scheme_of(mask_of([[0, 0, 0], [128, 64, 128]], "RGB"))
    assert (scheme.kind, scheme.coloured, scheme.mask_ids) == ("RGB colours", True, [])
    assert scheme.classes == ("black", "rgb_128_64_128")
    assert scheme.palette.tolist() == [[0, 0, 0], [128, 64, 128]]
    assert any("--ignore 0,0,0" in assumption for assumption in scheme.assumptions)


def test_names_of_colours_and_void():
    names = [Named("road", colour(128, 64, 128), True), Named("sky", colour(9, 9, 9), True)]
    void = Named("void", colour(0, 0, 0), True)
    masks = mask_of([[0, 0, 0], [128, 64, 128], [9, 9, 9]], "RGB")
    scheme = scheme_of(masks, names=[*names, void])
    assert scheme.classes == ("road", "sky") and scheme.ignored == (colour(0, 0, 0),)
    assert scheme.palette.tolist() == [[128, 64, 128], [9, 9, 9]]
    assert any("`void` (0 0 0)" in assumption for assumption in scheme.assumptions)
    same = scheme_of(masks, names=names, ignore=[Named("", colour(0, 0, 0), True)])
    assert same.classes == scheme.classes and same.ignored == scheme.ignored


def test_names_in_order_and_absent_classes():
    masks = mask_of([0, 2])
    assert scheme_of(masks, names=[Named("a"), Named("b")]).mask_ids == [0, 2]
    scheme = scheme_of(masks, names=[Named("a"), Named("b"), Named("c")])
    assert scheme.mask_ids == [] and scheme.pixels.tolist() == [[80, 0, 80]]
    assert "classes that no mask shows: b" in scheme.assumptions[0]
    scheme = scheme_of(masks, names=[Named("c", 2), Named("a", 0)])
    assert scheme.classes == ("c", "a") and scheme.mask_ids == [2, 0]


def test_as_many_names_as_values_make_255_a_class():
    assert scheme_of(mask_of([0, 1, 255]), names=[Named(n) for n in "abc"]).mask_ids == [0, 1, 255]
    assert scheme_of(mask_of([0, 1, 255]), names=[Named(n) for n in "ab"]).ignored == (255,)


@pytest.mark.parametrize(
    ("mask", "names", "ignore", "line"),
    [
        (mask_of([0, 1, 2, 4]), [Named("a")], (), "--names has 1 names for 4 classes; the masks contain 4"),
        (mask_of([0, 1]), [Named("a", 0)], (), "no name for 1 value(s): 1"),
        (mask_of([[0, 0, 0], [1, 1, 1]], "RGB"), [Named("a"), Named("b")], (), "must give the colour of each "
        "name"),
        (mask_of([0, 1]), (), [Named("", 7)], "--ignore 7 is in no mask"),
        (mask_of([0, 1]), (), [Named("", 0, True)], "--ignore 0 0 0 is in no mask"),
        (mask_of([0, 1]), (), [Named("", 0), Named("", 1)], "must be one value for masks of ids"),
        (mask_of([0]), (), (), "segmentation needs at least 2 classes"),
    ],
)  # fmt: skip
def test_names_that_do_not_fit(mask, names, ignore, line):
    with pytest.raises(DataError) as caught:
        scheme_of(mask, names=names, ignore=ignore)
    assert line in str(caught.value)
    if "values:" in str(caught.value):
        assert "pixels" in caught.value.errors[0] and "--ignore" in caught.value.hint


def test_blends_at_borders_are_refused():
    rng = np.random.default_rng(0)
    smooth = np.repeat(np.array([0, 100, 255], np.uint8), 100)[None].repeat(50, 0).copy()
    smooth[:, 98:102] = rng.integers(20, 240, (50, 4))
    with pytest.raises(DataError) as caught:
        scheme_of(count_values(RawMask(smooth, None, "L")))
    assert "only in specks of about one pixel" in str(caught.value)
    assert "nearest neighbour" in str(caught.value) and "cover areas: 255, 100, 0" in str(caught.value)


def test_a_few_blends_are_pointed_out():
    mask = np.repeat(np.array([0, 1, 2], np.uint8), 10)[None].repeat(4, 0).copy()
    mask[:, 15] = 7
    assert any(
        "specks of 1.0 pixels" in line
        for line in scheme_of(count_values(RawMask(mask, None, "L"))).assumptions
    )


def test_instances_are_refused():
    with pytest.raises(DataError, match="at most 256 are allowed"):
        scheme_of(mask_of([[i % 256, i // 256, 0] for i in range(300)], "RGB", width=900))


def test_two_kinds_are_refused_with_examples():
    with pytest.raises(DataError) as caught:
        scheme_of(mask_of([0, 1]), mask_of([[0, 0, 0], [9, 9, 9]], "RGB"))
    assert "both colours and grey values" in str(caught.value)
    assert caught.value.errors == ("mask 1: RGB", "mask 0: L")
    with pytest.raises(DataError, match="--names gives colours"):
        scheme_of(mask_of([0, 1]), names=[Named("a", 0, True)])
