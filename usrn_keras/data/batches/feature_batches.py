"""Batches of the features of a frozen backbone, in place of images."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from usrn_keras.data.batches.feature_files import Maps
from usrn_keras.data.batches.loader import (
    LABELLED,
    OWN_STREAM,
    STRONG,
    Batches,
    UnlabelledStream,
)
from usrn_keras.data.dataset import Sample
from usrn_keras.data.views.feature_view import FeatureView
from usrn_keras.data.views.weak_view import Window

DROP_RATE = 0.5  # of the channels in a strong view, as in UniMatch


class FeatureSource(Protocol):
    """Features of whole images.

    Attributes:
        in_threads: Whether several threads may read features at once.
    """

    in_threads: bool

    def __call__(self, sample: Sample, flip: bool) -> Maps:
        """Return the low-level and the deepest features of an image or of its mirror, `FeatureView.whole`."""


class FeatureBatches(Batches):
    """Batches of crops of the features of whole images, with the order and the seeds of `Batches`.

    Args:
        view: Distribution of the windows.
        features: Features of whole images.
        feature_dropout: Whether the strong view drops half of the channels of the weak view.
        **kwargs: Arguments of `Batches`; the views of images and of colours are not used.

    `batch(step)` has `labelled_low (B, crop_size / 4, crop_size / 4, channels)` and `labelled_high (B,
    crop_size / stride, ..., channels)` float16, `labels` and `sublabels` as in `Batches`; for unlabelled
    images `weak_low` and `weak_high`; and with `feature_dropout` the factors of the channels of their strong
    view, 0 or 2, `strong_low` and `strong_high (U, 1, 1, channels)` float16.
    """

    def __init__(
        self,
        *,
        view: FeatureView,
        features: FeatureSource,
        feature_dropout: bool,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.view = view
        self.feature_dropout = feature_dropout
        self._features = features

    def _labelled_arrays(self, step: int) -> dict[str, np.ndarray]:
        samples = self._own(self._labelled_samples(step))
        windows = [self._window(LABELLED, step, place, sample) for place, sample in samples]
        arrays = self._maps("labelled", windows, [sample for _, sample in samples])
        found = [self._reader.labelled_maps(sample) for _, sample in samples]
        padding = {"labels": self._ignored, "sublabels": -1}
        for name, maps in zip(padding, zip(*found, strict=True), strict=False):  # there may be no sublabels
            pairs = zip(windows, maps, strict=True)
            arrays[name] = np.stack([window.cut_map(one, padding[name]) for window, one in pairs])
        return arrays

    def _unlabelled_arrays(self, step: int, stream: UnlabelledStream = OWN_STREAM) -> dict[str, np.ndarray]:
        samples = self._own(self._unlabelled_samples(step, stream))
        windows = [self._window(stream.views, step, place, sample) for place, sample in samples]
        arrays = self._maps(stream.weak, windows, [sample for _, sample in samples])
        if self.spec.strong and self.feature_dropout:
            rng = np.random.default_rng([self.seed, STRONG, step])
            for level in ("low", "high"):
                channels = arrays[f"{stream.weak}_{level}"].shape[-1]
                drawn = rng.random((self.batch_unlabelled, 1, 1, channels), np.float32)
                kept = (drawn >= DROP_RATE) / (1 - DROP_RATE)
                arrays[f"strong_{level}"] = self._own_rows(kept.astype(np.float16))
        return arrays

    def _window(self, purpose: int, step: int, place: int, sample: Sample) -> Window:
        rng = np.random.default_rng([self.seed, purpose, step, place])
        return self.view.draw(rng, *self._reader.size(sample))

    def _maps(self, name: str, windows: list[Window], samples: list[Sample]) -> dict[str, np.ndarray]:
        cut = [
            self.view.cut(window, *self._features(sample, window.flip))
            for window, sample in zip(windows, samples, strict=True)
        ]
        return {
            f"{name}_{level}": np.stack(maps)
            for level, maps in zip(("low", "high"), zip(*cut, strict=True), strict=True)
        }

    @property
    def _ignored(self) -> int:
        return self._reader.rules.ignore_index
