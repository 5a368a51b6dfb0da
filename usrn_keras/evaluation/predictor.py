"""Prediction of the pixels of an image: whole or in windows, mirrored, at several sizes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import repeat
from typing import Any

import cv2
import keras
import numpy as np
from keras import ops

from usrn_keras.data.batches.padding import STRIDE, fill_batch, pad_image, padded_size
from usrn_keras.data.channel_groups import by_channel_groups
from usrn_keras.errors import RecipeError
from usrn_keras.evaluation.forward import Forward, Function, Network, Tensor
from usrn_keras.evaluation.sliding_windows import slide
from usrn_keras.evaluation.tiles import LARGEST_WHOLE, TILE, TiledNetwork, answer_of, is_large
from usrn_keras.recipe import Recipe

MODES = ("whole", "slide")
CHANNELS_AT_ONCE = 128  # OpenCV 5 takes no more


@dataclass(frozen=True)
class Inference:
    """Options of prediction. The probabilities (softmax of the logits) of several passes are averaged.

    Args:
        mode: `whole`, the whole image at once, or `slide`, windows of equal size that slide over it.
        window: Height and width of a window in pixels, a multiple of 32; required by `slide`.
        overlap: Share of a window that the next window covers too, in [0, 1).
        flip: Whether to predict the mirrored image (or window) as well.
        scales: Factors by which the image is resized, 1 is its own size. Windows keep their size.

    Raises:
        RecipeError: Values are out of range; the error lists all of them.

    Example:

    >>> Inference("slide", window=320, flip=True, scales=(0.5, 1)).line()
    'slide 320 overlap 0.33 + flip + scales 0.5/1'
    """

    mode: str = "whole"
    window: int = 0
    overlap: float = 0.33
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", tuple(float(scale) for scale in self.scales))
        errors = []
        if self.mode not in MODES:
            errors.append(f"mode: must be {' or '.join(MODES)}, received {self.mode!r}")
        if self.mode == "slide" and (self.window <= 0 or self.window % STRIDE):
            errors.append(f"window: must be a multiple of {STRIDE} above 0, received {self.window}")
        if not 0 <= self.overlap < 1:
            errors.append(f"overlap: must be at least 0 and below 1, received {self.overlap}")
        if not self.scales or min(self.scales) <= 0:
            errors.append(f"scales: must be one or more numbers above 0, received {list(self.scales)}")
        if errors:
            raise RecipeError("the options of prediction are not valid", errors=errors)

    @property
    def one_pass(self) -> bool:
        """Whether the network processes each image once, whole and in its own size."""
        return self.mode == "whole" and not self.flip and self.scales == (1.0,)

    def line(self) -> str:
        """The options in a few words, as part of the provenance of scores."""
        parts = [f"slide {self.window} overlap {self.overlap:g}" if self.mode == "slide" else "whole"]
        parts += ["flip"] if self.flip else []
        parts += [f"scales {'/'.join(f'{s:g}' for s in self.scales)}"] if self.scales != (1.0,) else []
        return " + ".join(parts)


WHOLE = Inference()


def inference_of(recipe: Recipe, overrides: Mapping[str, Any] | None = None) -> Inference:
    """The options that `[evaluation]` of a recipe asks for; windows have the size of training crops.

    Args:
        recipe: Recipe of a run.
        overrides: Fields of `Inference` that replace those of the recipe; None as a value keeps the recipe's.
    """
    evaluation = recipe.evaluation
    values = {key: getattr(evaluation, key) for key in ("mode", "overlap", "flip", "scales")}
    values["window"] = recipe.views.crop_size
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    return Inference(**(values | given))


class Predictor:
    """Predict the class ids of images of any size. It compiles once for each padded size of the images.

    An image of more than `largest_whole` padded pixels is predicted in tiles that overlap so far that the
    result is that of the whole image, up to rounding, in the memory of a tile. A network with attention or a
    pyramid of poolings cannot be computed in tiles, and needs the memory of the whole image.

    Args:
        segmenter: Network from images `(batch, height, width, bands)` to logits `(batch, height, width, C)`.
        options: Options of prediction.
        batch: Number of images or windows predicted at once; a smaller batch is filled up with blank ones.
        largest_whole: Padded pixels of the largest image that is predicted at once.
        tile: Side of a tile of larger images in pixels, a multiple of 128.

    Example:

    >>> images = keras.Input((None, None, 3))
    >>> brightest_channel = keras.Model(images, keras.layers.Rescaling(1.0)(images))
    >>> Predictor(brightest_channel).ids(np.array([[[0, 9, 3], [7, 0, 1]]], np.uint8)).tolist()
    [[1, 0]]
    """

    def __init__(
        self,
        segmenter: keras.Model,
        options: Inference = WHOLE,
        *,
        batch: int = 1,
        largest_whole: int = LARGEST_WHOLE,
        tile: int = TILE,
    ):
        self.options = options
        self.batch = batch
        self.segmenter, self._largest_whole, self._tile = segmenter, largest_whole, tile
        self._ids = Forward(segmenter, pixel_answers(options.flip, "ids"))
        self._confident = Forward(segmenter, pixel_answers(options.flip, "ids_and_confidence"))
        self._probabilities = Forward(segmenter, pixel_answers(options.flip, "probabilities"))

    def ids(self, image: np.ndarray) -> np.ndarray:
        """Class ids (height, width) of an image (height, width, channels) uint8."""
        return self.ids_of([image])[0]

    def ids_of(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Class ids of up to `batch` images that have the same `padded_size`."""
        if self.options.scales != (1.0,):
            return [answer_of(found, "ids") for found in self._probabilities_of(images)]
        if self.options.mode == "slide":
            return list(self._slide(images, "ids"))
        if tiled := self._tiled_for(images[0]):
            return [self._in_tiles(tiled, image, "ids") for image in images]
        padded = np.stack([pad_image(image) for image in images])
        found = self._ids(fill_batch(padded, self.batch))[: len(images)]
        sizes = [image.shape[:2] for image in images]
        return [ids[:height, :width] for ids, (height, width) in zip(found, sizes, strict=True)]

    def ids_and_confidence(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Class ids (height, width) int32 of an image, and their probabilities (height, width) float32.

        Args:
            image: (height, width, channels) uint8.
        """
        if self.options.scales != (1.0,):
            found = answer_of(self.probabilities(image), "ids_and_confidence")
        elif self.options.mode == "slide":
            found = next(self._slide([image], "ids_and_confidence"))
        elif tiled := self._tiled_for(image):
            found = self._in_tiles(tiled, image, "ids_and_confidence")
        else:
            height, width = image.shape[:2]
            found = self._confident(pad_image(image)[None])[0, :height, :width]
        return found[..., 0].astype(np.int32), found[..., 1]

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """Class probabilities, averaged over all passes, (height, width, C) float32.

        Args:
            image: (height, width, channels) uint8.
        """
        return next(self._probabilities_of([image]))

    def pixels_at_once(self, size: tuple[int, int]) -> int:
        """Largest number of pixels that the network gets at once for an image of a height and width."""
        if self.options.mode == "slide":
            return self.batch * self.options.window**2
        height, width = scaled_size(size, max(self.options.scales))
        if is_large((height, width), self._largest_whole) and self._tiled:
            height, width = (min(side, self._tiled.tile) for side in padded_size((height, width)))
            return height * width
        return self.batch * int(np.prod(padded_size((height, width))))

    @property
    def probability_bytes(self) -> int:
        """Bytes for each pixel of the probabilities of a whole image that are held on the host."""
        several = len(self.options.scales) + 1 if self.options.scales != (1.0,) else 0
        return 4 * self.segmenter.output_shape[-1] * several

    def _probabilities_of(self, images: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        scales = self.options.scales
        passes = [self._at_own_size(map(scaled, images, repeat(scale))) for scale in scales]
        for image, *found in zip(images, *passes, strict=True):
            total = sum(resized(values, *image.shape[:2]) for values in found)
            yield total / np.float32(len(scales))

    def _at_own_size(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        if self.options.mode == "slide":
            yield from self._slide(images, "probabilities")
            return
        for image in images:
            if tiled := self._tiled_for(image):
                yield self._in_tiles(tiled, image, "probabilities")
            else:
                height, width = image.shape[:2]
                yield self._probabilities(pad_image(image)[None])[0, :height, :width]

    def _slide(self, images: Iterable[np.ndarray], name: str) -> Iterator[np.ndarray]:
        window, overlap = self.options.window, self.options.overlap
        answer = partial(answer_of, name=name)
        settings = {"window": window, "overlap": overlap, "batch": self.batch, "answer": answer}
        return slide(images, self._probabilities, **settings)

    def _tiled_for(self, image: np.ndarray) -> TiledNetwork | None:
        """The network that predicts an image in tiles; None if it is predicted at once."""
        return self._tiled if is_large(image.shape[:2], self._largest_whole) else None

    @cached_property
    def _tiled(self) -> TiledNetwork | None:
        return TiledNetwork.of(self.segmenter, self._tile)

    def _in_tiles(self, tiled: TiledNetwork, image: np.ndarray, answer: str) -> np.ndarray:
        height, width = image.shape[:2]
        answers = partial(pixel_answers, False)
        return tiled.predict(pad_image(image), answers, answer, flip=self.options.flip)[:height, :width]


def predict_ids(segmenter: keras.Model, image: np.ndarray, options: Inference = WHOLE) -> np.ndarray:
    """Class ids of one image of any size; use `Predictor` for several images, it compiles once.

    Args:
        segmenter: Network from images `(batch, height, width, bands)` to logits.
        image: (height, width, channels) uint8.
        options: Options of prediction.

    Returns:
        (height, width) integers.
    """
    return Predictor(segmenter, options).ids(image)


def pixel_answers(flip: bool, answer: str) -> Function:
    """The function that computes the prediction of every pixel on the device.

    Args:
        flip: Whether to average the probabilities with those of the mirrored images.
        answer: `ids`, (batch, height, width); `probabilities`, (batch, height, width, C); or
            `ids_and_confidence`, (batch, height, width, 2) float32.
    """

    def answers(network: Network, images: Tensor) -> Tensor:
        logits = network(images)
        scores = ops.softmax(logits) if flip or answer != "ids" else logits
        if flip:
            mirrored = ops.softmax(network(ops.flip(images, axis=2)))
            scores = (scores + ops.flip(mirrored, axis=2)) / 2
        if answer == "probabilities":
            return scores
        if answer == "ids_and_confidence":
            # Without mirrored images the class is that of `ids`: softmax can round two logits to one value.
            ids = ops.cast(ops.argmax(scores if flip else logits, axis=-1), "float32")
            return ops.stack([ids, ops.max(scores, axis=-1)], axis=-1)
        # Ids are cast on the device, so that few bytes are copied.
        return ops.cast(ops.argmax(scores, axis=-1), "uint8" if scores.shape[-1] <= 256 else "int32")

    return answers


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Height and width of an image that is resized by a factor: rounded, and at least 1 pixel."""
    height, width = (max(1, round(scale * side)) for side in size)
    return height, width


def scaled(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize an image by a factor: reduced by area averaging (no aliasing), or enlarged bilinearly.

    Args:
        image: (height, width, channels) uint8.
        scale: Factor above 0; sides are rounded, and are at least 1 pixel.
    """
    height, width = scaled_size(image.shape[:2], scale)
    if (height, width) == image.shape[:2]:
        return image
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return by_channel_groups(lambda part: cv2.resize(part, (width, height), interpolation=method), image)


def resized(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize `values` (h, w, C) float32 to `(height, width, C)`, bilinearly, with half-pixel centres."""
    if values.shape[:2] == (height, width):
        return values
    parts = [
        cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=cv2.INTER_LINEAR)
        for part in np.split(values, range(CHANNELS_AT_ONCE, values.shape[-1], CHANNELS_AT_ONCE), axis=-1)
    ]
    return np.concatenate([part.reshape(height, width, -1) for part in parts], axis=-1)
