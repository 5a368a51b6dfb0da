"""Boxes of CutMix: values and statistics of the official code of CPS and of UniMatch."""

from __future__ import annotations

import numpy as np
import pytest

from tests.methods.rival_golden import rival_golden
from usrn_keras.data import Batches, Sample, WeakView
from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.data.views.cutmix_boxes import BetaBox, OneBox, SeveralBoxes
from usrn_keras.strong_view import StrongView

TOLERANCE = 0.02


def odd(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Whether each pixel is in an odd number of boxes, `(images, height, width)`."""
    masks = np.zeros((len(boxes), height, width), bool)
    for mask, some in zip(masks, boxes, strict=True):
        for top, left, bottom, right in some:
            mask[top:bottom, left:right] ^= True
    return masks


def test_several_boxes_are_those_of_the_official_code():
    """The same numbers are drawn in the same order, so the masks are equal."""
    golden = rival_golden("cutmix_mask")
    rng = np.random.RandomState(int(golden["seed"]))
    np.testing.assert_array_equal(odd(SeveralBoxes().draw(rng, 8, 48, 64), 48, 64), golden["masks"] == 1)


def test_statistics_of_several_boxes():
    golden = rival_golden("cutmix_mask")
    masks = odd(SeveralBoxes().draw(np.random.default_rng(0), 8000, 64, 64), 64, 64)
    shares = masks.mean((1, 2))
    np.testing.assert_allclose(
        [shares.mean(), shares.std()], golden["share_of_ones_mean_std"], atol=TOLERANCE
    )
    places = masks.reshape(-1, 8, 8, 8, 8).mean((0, 2, 4))
    np.testing.assert_allclose(places, golden["probability_of_one_by_position_8x8"], atol=TOLERANCE)
    (one,) = SeveralBoxes(1).draw(np.random.default_rng(0), 8000, 64, 64).transpose(1, 2, 0)
    sides = np.array([one[2] - one[0], one[3] - one[1]]) / 64
    found = [*sides.mean(1), sides.prod(0).mean()]
    np.testing.assert_allclose(found, golden["one_box_height_width_area_mean"], atol=TOLERANCE)


def test_statistics_of_one_box():
    golden = rival_golden("unimatch_box")
    boxes = OneBox().draw(np.random.default_rng(0), 20_000, 64, 64)
    there = boxes[boxes[:, 0, 2] > 0][:, 0]
    assert len(there) / len(boxes) == pytest.approx(float(golden["probability_of_a_box"]), abs=TOLERANCE)
    height, width = (there[:, 2] - there[:, 0]) / 64, (there[:, 3] - there[:, 1]) / 64
    area = height * width
    found = [height.mean(), width.mean(), (height > width).mean()]
    np.testing.assert_allclose(found, golden["height_width_mean_and_share_taller_than_wide"], atol=TOLERANCE)
    np.testing.assert_allclose([area.mean(), area.std()], golden["area_mean_std"], atol=TOLERANCE)
    quantiles = np.quantile(area, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1])
    np.testing.assert_allclose(quantiles, golden["area_quantiles_0_5_25_50_75_95_100"], atol=TOLERANCE)
    inside = odd(there[:, None], 64, 64).reshape(-1, 8, 8, 8, 8).mean((0, 2, 4))
    theirs = golden["probability_of_inside_by_position_8x8"]
    # A single place of theirs is off by 0.02 by chance; boxes prefer no side, so opposite places are one.
    folded = [sum((p, p[::-1], p[:, ::-1], p[::-1, ::-1])) / 4 for p in (inside, theirs)]
    np.testing.assert_allclose(*folded, atol=TOLERANCE)


def test_statistics_of_boxes_of_beta_distributed_size():
    """All boxes of a draw have one size, but where they leave the image; centres are beyond one eighth."""
    shares = []
    for seed in range(2000):
        boxes = BetaBox(2, 8).draw(np.random.default_rng(seed), 20, 64, 96)[:, 0]
        sides = boxes[:, 2:] - boxes[:, :2]
        whole = (boxes[:, :2] > 0).all(1) & (boxes[:, 2:] < [64, 96]).all(1)
        assert len({tuple(side) for side in sides[whole]}) <= 1
        if whole.any():
            shares.append(sides[whole][0].prod() / (64 * 96))
        centres = (boxes[whole, :2] + boxes[whole, 2:]) / 2
        assert (centres >= [8, 12]).all()
    largest = BetaBox(2, 8).draw(np.random.default_rng(0), 20_000, 64, 96)[:, 0]
    assert largest.min() == 0 and largest[:, 2].max() == 64 and largest[:, 3].max() == 96
    # The Beta distribution has mean 0.2 and deviation 0.12; a side is cut to whole and even pixels.
    np.testing.assert_allclose([np.mean(shares), np.std(shares)], [0.2, 0.12], atol=TOLERANCE)


@pytest.mark.parametrize("boxes", [SeveralBoxes(), OneBox(1.0)])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 56)])
def test_boxes_lie_in_the_image(boxes, height, width):
    top, left, bottom, right = np.moveaxis(boxes.draw(np.random.default_rng(0), 200, height, width), -1, 0)
    assert (top >= 0).all() and (top < bottom).all() and (bottom <= height).all()
    assert (left >= 0).all() and (left < right).all() and (right <= width).all()


@pytest.fixture
def make(tmp_path, files):
    """Batches of five labelled and seven unlabelled images."""
    labelled = tuple(
        Sample(f"l{n}", files.image(tmp_path / f"l{n}.png", seed=n), files.mask(tmp_path / f"m{n}.png", n))
        for n in range(5)
    )
    unlabelled = tuple(Sample(f"u{n}", files.image(tmp_path / f"u{n}.png", seed=9 + n)) for n in range(7))

    def make(view: WeakView | None = None, batch_unlabelled: int = 3, strong: int = 1, **contents) -> Batches:
        view = view or WeakView(8, 16)
        return Batches(
            labelled=labelled, unlabelled=unlabelled, batch_labelled=2, seed=1, weak_labelled=view,
            weak_unlabelled=view, strong=StrongView(), batch_unlabelled=batch_unlabelled,
            spec=BatchSpec(unlabelled=True, strong=strong, **contents),
        )  # fmt: skip

    return make


def test_what_cutmix_adds_leaves_the_rest_of_a_batch_as_it_was(make):
    plain, full = (
        make(),
        make(donor=True, boxes=SeveralBoxes(), boxes_2=OneBox(1.0), draws=2, strong=2, filled=True),
    )
    for step in (0, 5):
        before, after = plain.batch(step), full.batch(step)
        added = {"donor", "donor_strong_parameters", "boxes", "weak_filled", "donor_filled"}
        added |= {"strong_2_parameters", "donor_strong_2_parameters", "boxes_2", "draws"}
        assert after.keys() - before.keys() == added
        for name, array in before.items():
            np.testing.assert_array_equal(after[name], array, err_msg=name)
    assert after["donor"].shape == (3, 8, 8, 3) and after["donor"].dtype == np.uint8
    assert after["boxes"].shape == (3, 3, 4) and after["weak_filled"].shape == (3, 4)
    assert after["boxes_2"].shape == (3, 1, 4)
    assert after["draws"].shape == (3, 2) and after["draws"].dtype == np.float32
    colours = [after[name] for name in after if name.endswith("parameters")]
    assert len({array.tobytes() for array in colours}) == len(colours) == 4
    for name in added:
        np.testing.assert_array_equal(full.batch(5)[name], after[name])
        for name in ("boxes", "boxes_2", "draws", "strong_2_parameters"):
            assert not np.array_equal(full.batch(5)[name], full.batch(6)[name])


def test_a_donor_is_drawn_in_an_order_and_with_views_of_its_own(make):
    batches = make(donor=True)
    names = batches.names(0)
    assert len(names) == 2 + 3 + 3 and names[2:5] != names[5:]
    seen = {name for step in range(7) for name in batches.names(step)[5:]}
    assert len(seen) == 7
    batch = batches.batch(0)
    assert not np.array_equal(batch["strong_parameters"], batch["donor_strong_parameters"])


def test_filled_tells_image_from_padding(make):
    """The long side of 8 to 32 pixels in a view of 24: small ones are padded, mirrored ones at the left."""
    batches = make(WeakView(24, 16), donor=True, filled=True)
    seen = set()
    for step in range(12):
        batch = batches.batch(step)
        for name in ("weak", "donor"):
            for image, (top, left, bottom, right) in zip(batch[name], batch[f"{name}_filled"], strict=True):
                padding = (image == image[-1, 0 if left else -1]).all(-1)
                filled = np.zeros((24, 24), bool)
                filled[top:bottom, left:right] = True
                if not filled.all():
                    assert padding[~filled].all() and not padding[filled].all()
                    seen.add(bool(left))
    assert seen == {False, True}


@pytest.mark.parametrize("option", [{"donor": True}, {"boxes": OneBox()}, {"filled": True}])
def test_cutmix_without_unlabelled_images(make, option):
    with pytest.raises(ValueError, match=r"`batch_unlabelled` must be above 0 .* received 0"):
        make(batch_unlabelled=0, **option)
