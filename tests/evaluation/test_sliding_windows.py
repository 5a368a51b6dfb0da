from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.evaluation.sliding_windows import slide, window_starts


@pytest.mark.parametrize(
    ("size", "overlap", "starts"),
    [
        (64, 0.5, [0]),
        (65, 0.5, [0, 1]),
        (96, 0.5, [0, 32]),
        (97, 0.5, [0, 32, 33]),
        (200, 0.0, [0, 64, 128, 136]),
    ],
)
def test_starts_by_hand(size, overlap, starts):
    assert window_starts(size, 64, overlap) == starts


@pytest.mark.parametrize("overlap", [0.0, 0.33, 0.9, 0.999])
@pytest.mark.parametrize("size", [32, 33, 63, 64, 100])
def test_windows_cover_a_side_and_overlap_as_asked(size, overlap):
    starts = window_starts(size, 32, overlap)
    assert starts[0] == 0 and starts[-1] == size - 32
    steps = np.diff(starts)
    assert (steps > 0).all() and (steps <= max(1, 32 * (1 - overlap))).all()


class Recorder:
    """Answers with 10, 20, 30, ... for one window after the other, and keeps the windows."""

    def __init__(self):
        self.shapes, self.windows = [], []

    def __call__(self, windows: np.ndarray) -> np.ndarray:
        self.shapes.append(windows.shape)
        answers = []
        for window in windows:
            self.windows.append(window.copy())
            answers.append(np.full((*window.shape[:2], 1), 10.0 * len(self.windows), np.float32))
        return np.stack(answers)


def test_overlap_average_by_hand():
    """Windows of 2 x 2 at columns 0 and 1, rows 0 and 1 of 3 x 3: 10 20 / 30 40."""
    (found,) = slide([np.zeros((3, 3, 3), np.uint8)], Recorder(), window=2, overlap=0.5)
    expected = [[10, 15, 20], [20, 25, 30], [30, 35, 40]]
    np.testing.assert_array_equal(found[..., 0], expected)


def test_last_windows_are_shifted_inward():
    """Columns 0-3, 4-7 and, for the tenth, 6-9."""
    (found,) = slide([np.zeros((4, 10, 3), np.uint8)], Recorder(), window=4, overlap=0.0)
    np.testing.assert_array_equal(found[0, :, 0], [10, 10, 10, 10, 20, 20, 25, 25, 30, 30])


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_batches_have_one_shape_and_blank_windows_do_not_count(batch):
    image = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    recorder = Recorder()
    (found,) = slide([image], recorder, window=4, overlap=0.5, batch=batch)
    assert set(recorder.shapes) == {(batch, 4, 4, 3)}
    (alone,) = slide([image], Recorder(), window=4, overlap=0.5)
    np.testing.assert_array_equal(found, alone)
    np.testing.assert_array_equal(recorder.windows[1], image[0:4, 2:6])


def test_a_small_image_is_padded_by_the_mean_colour_and_cut_again():
    recorder = Recorder()
    (found,) = slide([np.zeros((3, 9, 3), np.uint8)], recorder, window=4, overlap=0.0)
    assert found.shape == (3, 9, 1)
    assert recorder.windows[0].shape == (4, 4, 3)
    np.testing.assert_array_equal(recorder.windows[0][3], [[124, 116, 104]] * 4)
    assert not recorder.windows[0][:3].any()


@pytest.mark.parametrize(("batch", "calls"), [(1, 11), (2, 6), (4, 3), (16, 1)])
def test_windows_of_several_images_share_batches(batch, calls):
    """4, 1 and 6 windows; what an image gets does not depend on the others."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in [(6, 6), (4, 3), (5, 8)]]
    shapes = []

    def brightness(windows: np.ndarray) -> np.ndarray:
        shapes.append(windows.shape)
        return windows.mean(axis=(1, 2), keepdims=True) + np.zeros_like(windows, np.float32)

    found = list(slide(images, brightness, window=4, overlap=0.5, batch=batch))
    assert shapes == [(batch, 4, 4, 3)] * calls
    for image, values in zip(images, found, strict=True):
        (alone,) = slide([image], brightness, window=4, overlap=0.5)
        assert values.shape == image.shape and values.std() > 0
        np.testing.assert_array_equal(values, alone)
