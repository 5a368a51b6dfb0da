"""Views of features, the files that keep them, and batches of them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from usrn_keras.data import Sample
from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.data.batches.feature_batches import FeatureBatches
from usrn_keras.data.batches.feature_files import HEADER, FeatureFiles
from usrn_keras.data.views.feature_view import FeatureView
from usrn_keras.data.views.weak_view import WeakView
from usrn_keras.errors import StorageError

STRIDE = 16
HEIGHT, WIDTH = 70, 96  # padded to 96 x 96


def downsampled(whole: np.ndarray, stride: int) -> np.ndarray:
    """The first pixel of each cell, as float16."""
    return whole[::stride, ::stride].astype(np.float16)


class Positions:
    """Features that are the labels of the whole padded image: constant in cells of 32 pixels."""

    in_threads = True

    def __init__(self, view: FeatureView, labels: dict[str, np.ndarray]):
        self.view, self.labels = view, labels

    def __call__(self, sample, flip):
        image = self.labels[sample.name].astype(np.uint8)[..., None].repeat(3, axis=-1)
        whole = self.view.whole(image, image.shape[:2], flip=flip)
        return downsampled(whole, 4), downsampled(whole, STRIDE)


@pytest.fixture
def samples(tmp_path):
    """Masks of cells of 16 pixels, each of another class, and images of any content."""
    found = []
    for number in range(3):
        cells = np.random.default_rng(number).integers(1, 250, (5, 6))
        mask = cells.repeat(16, axis=0).repeat(16, axis=1)[:HEIGHT, :WIDTH].astype(np.uint8)
        paths = tmp_path / f"{number}.jpg.png", tmp_path / f"{number}_mask.png"
        for path in paths:
            Image.fromarray(mask).save(path)
        found.append(Sample(str(number), *paths))
    return tuple(found)


def batches_of(samples, *, flip: float = 0.5, dropout: bool = True, workers: int = 0) -> FeatureBatches:
    view = FeatureView(crop_size=64, long_side=WIDTH, stride=STRIDE, flip=flip)
    masks = {sample.name: np.asarray(Image.open(sample.mask)) for sample in samples}
    weak = WeakView(64, WIDTH, scale=(1, 1))
    return FeatureBatches(
        view=view, features=Positions(view, masks), feature_dropout=dropout, labelled=samples,
        unlabelled=samples, batch_labelled=2, batch_unlabelled=4, weak_labelled=weak, weak_unlabelled=weak,
        spec=BatchSpec(unlabelled=True, strong=1), seed=0, workers=workers,
    )  # fmt: skip


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_features_and_labels_show_the_same_place(samples, flip):
    batches, seen = batches_of(samples, flip=flip), set()
    for step in range(6):
        batch = batches.batch(step)
        labels = batch["labels"]
        assert labels.shape == (2, 64, 64) and batch["labelled_low"].shape == (2, 16, 16, 3)
        assert batch["labelled_high"].shape == (2, 4, 4, 3)
        for low, high, map_ in zip(batch["labelled_low"], batch["labelled_high"], labels, strict=True):
            inside = map_[::4, ::4] != 255  # the rest is padding
            np.testing.assert_array_equal(low[..., 0][inside], map_[::4, ::4][inside])
            inside = map_[::STRIDE, ::STRIDE] != 255
            np.testing.assert_array_equal(high[..., 0][inside], map_[::STRIDE, ::STRIDE][inside])
            seen.add((map_[0, 0], map_[-1, -1]))
    assert len(seen) > 6  # several places


def test_batches_depend_on_their_step_alone(samples):
    first, second = batches_of(samples), batches_of(samples, workers=2)
    for step, batch in enumerate(second.iterate(3, 6), start=3):
        expected = first.batch(step)
        assert batch.keys() == expected.keys()
        for name, value in batch.items():
            np.testing.assert_array_equal(value, expected[name])


def test_a_strong_view_drops_half_of_the_channels(samples):
    drawn = np.concatenate([batches_of(samples).batch(step)["strong_low"] for step in range(60)])
    assert drawn.shape == (240, 1, 1, 3) and set(np.unique(drawn)) == {0.0, 2.0}
    assert 0.8 < drawn.mean() < 1.2
    assert not [name for name in batches_of(samples, dropout=False).batch(0) if name.startswith("strong")]


def test_small_images_are_padded_to_a_view():
    view = FeatureView(crop_size=128, long_side=48)
    assert view.padded_size(40, 48) == (128, 128)
    whole = view.whole(np.full((40, 48, 3), 7, np.uint8), (40, 48), flip=True)
    assert whole.shape == (128, 128, 3) and (whole == 7).all()
    window = view.draw(np.random.default_rng(0), 40, 48)
    assert (window.top, window.left) == (0, 0)


def maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(6, 8, 2)).astype(np.float16), rng.normal(size=(3, 4, 5)).astype(np.float16)


def test_files_keep_both_orientations(tmp_path, samples):
    files = FeatureFiles(tmp_path / "features", {"network": 1})
    sample, stored = samples[0], [maps(0), maps(1)]
    assert not files.is_whole(sample)
    files.write(sample, stored)
    assert files.path(sample).stat().st_size == HEADER + 2 * 2 * (6 * 8 * 2 + 3 * 4 * 5)
    again = FeatureFiles(tmp_path / "features", {"network": 1})
    assert again.is_whole(sample)
    for flip in (False, True):
        for found, expected in zip(again.read(sample, flip=flip), stored[flip], strict=True):
            np.testing.assert_array_equal(found, expected)


def test_a_damaged_file_is_noticed(tmp_path, samples):
    files = FeatureFiles(tmp_path / "features", "key")
    for damage in (
        lambda data: data[:-1],
        lambda data: data[:-1] + b"x",
        lambda data: b"{" + data,
        lambda _: b"",
    ):
        files.write(samples[0], [maps(0)])
        assert files.is_whole(samples[0])
        path = files.path(samples[0])
        path.write_bytes(damage(path.read_bytes()))
        assert not files.is_whole(samples[0])


def test_another_image_network_or_setting_is_another_file(tmp_path, samples):
    one, other = FeatureFiles(tmp_path, {"weights": "a"}), FeatureFiles(tmp_path, {"weights": "b"})
    assert len({files.path(sample) for files in (one, other) for sample in samples}) == 6
    for files in (one, other):
        for sample in samples:
            files.write(sample, [maps(0)])
    one.remove_others(samples[:2])
    assert [one.is_whole(sample) for sample in samples] == [True, True, False]
    assert len(list(tmp_path.glob("*.f16"))) == 2
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(samples[0].image)
    assert not one.is_whole(samples[0])  # its content is another one


def test_a_write_that_fails_leaves_no_file(tmp_path, samples, monkeypatch):
    files = FeatureFiles(tmp_path / "features", "key")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError):
        files.write(samples[0], [maps(0)])
    assert not list((tmp_path / "features").iterdir())
