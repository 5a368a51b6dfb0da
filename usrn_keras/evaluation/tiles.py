"""Prediction of a large image in tiles that overlap so far that the result is that of the whole image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import keras
import numpy as np

from usrn_keras.data.batches.padding import STRIDE, padded_size
from usrn_keras.evaluation.forward import Forward, Function
from usrn_keras.networks.receptive_field import LocalNetwork, local_network

LARGEST_WHOLE = 2**23  # padded pixels that are predicted at once; 3840 x 2160 has fewer
TILE = 2048  # side of a tile; memory grows with its square, and what is computed twice shrinks
SMALLEST_SHARE = 4  # of its own pixels, the side of a tile has at least 1 - 2 / SMALLEST_SHARE


def is_large(size: tuple[int, int], largest: int = LARGEST_WHOLE) -> bool:
    """Whether an image of this height and width is predicted in tiles, if its network can be."""
    return int(np.prod(padded_size(size))) > largest


@dataclass(frozen=True)
class Side:
    """The part of a tile along one axis.

    Attributes:
        start: First pixel of the tile.
        stop: End of the tile.
        own: First pixel and end of what the tile contributes.
    """

    start: int
    stop: int
    own: tuple[int, int]

    @property
    def taken(self) -> slice:
        """Its own pixels, counted from the start of the tile."""
        return slice(self.own[0] - self.start, self.own[1] - self.start)

    @property
    def placed(self) -> slice:
        """Its own pixels, counted from the start of the image."""
        return slice(*self.own)


def tile_sides(size: int, tile: int, halo: int) -> list[Side]:
    """Cover a height or width by tiles of equal size that overlap by two halos.

    Args:
        size: Height or width of the padded image, a multiple of 32, as all sizes.
        tile: Height or width of a tile.
        halo: Pixels at an inner edge of a tile that another tile contributes.

    Example:

    >>> [(side.start, side.own) for side in tile_sides(256, tile=128, halo=32)]
    [(0, (0, 96)), (64, (96, 160)), (128, (160, 256))]
    """
    if size <= tile:
        return [Side(0, size, (0, size))]
    starts = [*range(0, size - tile, tile - 2 * halo), size - tile]
    ends = [*(start + tile - halo for start in starts[:-1]), size]
    return [
        Side(start, start + tile, (before, end))
        for start, before, end in zip(starts, [0, *ends], ends, strict=False)
    ]


class TiledNetwork:
    """A network that predicts large images in tiles, with the result of the whole image up to rounding.

    Args:
        local: Network of a part of an image.
        tile: Side of a tile in pixels, a multiple of 128; larger if the network looks far.
    """

    def __init__(self, local: LocalNetwork, tile: int = TILE):
        self._local = local
        self.halo = local.radius + -local.radius % STRIDE
        self.tile = max(tile, SMALLEST_SHARE * self.halo + -(SMALLEST_SHARE * self.halo) % 128)
        self._pooled = (
            Forward(local.pooled, lambda network, images: network(images)) if local.pooled else None
        )
        self._functions: dict[str, Forward] = {}

    @classmethod
    def of(cls, segmenter: keras.Model, tile: int = TILE) -> TiledNetwork | None:
        """Convert a segmenter; None if its logits depend on the whole image in another way than by a mean."""
        local = local_network(segmenter)
        return None if local is None else cls(local, tile)

    def predict(
        self, image: np.ndarray, answers: Callable[[str], Function], name: str, *, flip: bool
    ) -> np.ndarray:
        """Predict an image.

        Args:
            image: Padded image `(height, width, bands)` uint8, with sides that are multiples of 32.
            answers: Function from the name of an answer to the function that computes it, without mirroring.
            name: `ids`, `probabilities` or `ids_and_confidence`, as in `pixel_answers`.
            flip: Whether to average the probabilities with those of the mirrored image.

        Returns:
            `(height, width)` ids, or `(height, width, channels)` float32.
        """
        means = [self._mean(one) for one in ((image, image[:, ::-1]) if flip else (image,))]
        asked = "probabilities" if flip else name
        if asked not in self._functions:
            self._functions[asked] = Forward(self._local.model, answers(asked))
        predict, found = self._functions[asked], None

        def values(tile: np.ndarray, mean: np.ndarray | None) -> np.ndarray:
            if mean is not None:
                self._local.set_mean(mean)
            return predict(np.ascontiguousarray(tile)[None])[0]

        for rows, columns in self._places(image):
            tile = image[rows.start : rows.stop, columns.start : columns.stop]
            here = values(tile, means[0])
            if flip:
                here = answer_of((here + values(tile[:, ::-1], means[1])[:, ::-1]) / 2, name)
            here = here[rows.taken, columns.taken]
            if found is None:
                found = np.empty((*image.shape[:2], *here.shape[2:]), here.dtype)
            found[rows.placed, columns.placed] = here
        return found

    def _mean(self, image: np.ndarray) -> np.ndarray | None:
        """Mean over the whole image of the features that the network needs, `(channels,)`; None for none."""
        if self._pooled is None:
            return None
        stride, total = self._local.pooled_stride, 0.0
        for rows, columns in self._places(image):
            tile = np.ascontiguousarray(image[rows.start : rows.stop, columns.start : columns.stop])
            features = self._pooled(tile[None])[0]
            own = (slice(part.taken.start // stride, part.taken.stop // stride) for part in (rows, columns))
            total = total + features[tuple(own)].sum(axis=(0, 1), dtype=np.float64)
        return total / (image.shape[0] * image.shape[1] / stride**2)

    def _places(self, image: np.ndarray) -> Iterator[tuple[Side, Side]]:
        """Rows and columns of each tile of an image."""
        return product(*(tile_sides(size, self.tile, self.halo) for size in image.shape[:2]))


def answer_of(probabilities: np.ndarray, name: str) -> np.ndarray:
    """Compute an answer of `pixel_answers` from probabilities `(height, width, C)` on the host."""
    if name == "probabilities":
        return probabilities
    ids = probabilities.argmax(axis=-1)
    if name == "ids_and_confidence":
        return np.stack([ids.astype(np.float32), probabilities.max(axis=-1)], axis=-1)
    return ids.astype(np.uint8 if probabilities.shape[-1] <= 256 else np.int32)
