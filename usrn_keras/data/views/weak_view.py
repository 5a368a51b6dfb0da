"""The weak view: the same random scale, crop and flip of an image and its maps."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from usrn_keras.data.batches.padding import neutral_colour
from usrn_keras.data.channel_groups import by_channel_groups


@dataclass(frozen=True)
class WeakView:
    """Random scale, crop and horizontal flip of an image and of its maps.

    The long side is drawn uniformly from the integers in `[long_side * scale[0], long_side * scale[1]]`, the
    aspect ratio is kept, and a square crop is drawn uniformly. An image smaller than the crop is padded on
    the right and at the bottom before the flip, as in the official code.

    Images are interpolated (averaged over areas if they shrink to less than a half). Maps use the nearest
    pixel, whose area contains the centre of the output pixel. The nearest pixel of OpenCV and of the official
    code is that of the upper left corner, up to half a pixel off the image.

    An image may be reduced by 2, 4 or 8, as by `read_image(path, at_least=view.largest)`; its maps and the
    geometry are those of the whole image.

    Args:
        crop_size: Height and width of the view in pixels.
        long_side: Long side of an image at scale 1 in pixels.
        scale: Smallest and largest scale.
        flip: Probability of a horizontal flip.
        ignore_index: Padding value of maps of unsigned type (labels); maps of signed type (sublabels) are
            padded with -1.

    Raises:
        ValueError: `scale` or `long_side` is out of range.

    Example:

    >>> view = WeakView(crop_size=320, long_side=400)
    >>> rng = np.random.default_rng(0)
    >>> image, labels = view(rng, np.zeros((360, 480, 3), np.uint8), np.zeros((360, 480), np.uint8))
    >>> image.shape, labels.shape
    ((320, 320, 3), (320, 320))
    """

    crop_size: int
    long_side: int
    scale: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(f"`scale` must be (smallest, largest), both above 0, received {self.scale}")
        if int(self.long_side * self.scale[0]) < 1:
            raise ValueError(f"`long_side` {self.long_side} at scale {self.scale[0]} is less than a pixel")

    @property
    def largest(self) -> int:
        """Long side of an image at the largest scale, in pixels: the largest size that a view needs."""
        return int(self.long_side * self.scale[1])

    def __call__(
        self,
        rng: np.random.Generator,
        image: np.ndarray,
        *maps: np.ndarray,
        size: tuple[int, int] | None = None,
    ) -> tuple[np.ndarray, ...]:
        """Draw a view of an image and of its maps.

        Args:
            rng: Random generator.
            image: Image `(height, width, channels)` uint8, possibly reduced by 2, 4 or 8.
            *maps: Maps `(height, width)` of integers.
            size: Height and width of the whole image; None if `image` is not reduced.

        Returns:
            The image `(crop_size, crop_size, channels)` uint8 and each map `(crop_size, crop_size)` int32,
            always as a tuple: `(view,) = weak_view(rng, image)`.
        """
        size = size or image.shape[:2]
        window = self.draw(rng, *size)
        return window.cut_image(image), *(window.cut_map(values, self._padding(values)) for values in maps)

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Window:
        """Draw the window of a view, the one that a call with an equal generator cuts.

        Args:
            rng: Random generator.
            height: Height of the whole image in pixels.
            width: Width of the whole image in pixels.
        """
        smallest = int(self.long_side * self.scale[0])
        factor = rng.integers(smallest, self.largest, endpoint=True) / max(height, width)
        scaled_height, scaled_width = (max(1, int(side * factor + 0.5)) for side in (height, width))
        return Window(
            height=scaled_height,
            width=scaled_width,
            top=int(rng.integers(0, max(0, scaled_height - self.crop_size), endpoint=True)),
            left=int(rng.integers(0, max(0, scaled_width - self.crop_size), endpoint=True)),
            crop_size=self.crop_size,
            flip=bool(rng.random() < self.flip),
        )

    def _padding(self, values: np.ndarray) -> int:
        return -1 if np.issubdtype(values.dtype, np.signedinteger) else self.ignore_index


@dataclass(frozen=True)
class Window:
    """A square window of an image scaled to `(height, width)`, optionally mirrored."""

    height: int
    width: int
    top: int
    left: int
    crop_size: int
    flip: bool

    def cut_image(self, image: np.ndarray) -> np.ndarray:
        """Cut the window, `(crop_size, crop_size, channels)` uint8, padded with the `neutral_colour`."""
        channels = image.shape[-1]
        view = np.empty((self.crop_size, self.crop_size, channels), np.uint8)
        rows, columns = self._filled()
        view[:rows, :columns] = by_channel_groups(lambda part: self._scaled_part(part, rows, columns), image)
        view[rows:] = view[:rows, columns:] = neutral_colour(channels)
        return by_channel_groups(lambda part: cv2.flip(part, 1), view) if self.flip else view

    @property
    def filled_box(self) -> tuple[int, int, int, int]:
        """Top, left, bottom and right of the part of the view that shows the image; the rest is padding."""
        rows, columns = self._filled()
        return (0, self.crop_size - columns, rows, self.crop_size) if self.flip else (0, 0, rows, columns)

    def cut_map(self, values: np.ndarray, padding: int) -> np.ndarray:
        """Cut the window of a map, `(crop_size, crop_size)` int32, padded with `padding`."""
        view = np.full((self.crop_size, self.crop_size), padding, np.int32)
        rows, columns = self._filled()
        height, width = values.shape
        from_rows = _nearest(self.top, rows, height, self.height)
        from_columns = _nearest(self.left, columns, width, self.width)
        view[:rows, :columns] = values[from_rows].take(from_columns, axis=1)
        return cv2.flip(view, 1) if self.flip else view

    def _filled(self) -> tuple[int, int]:
        """Rows and columns of the window inside the image."""
        return min(self.crop_size, self.height - self.top), min(self.crop_size, self.width - self.left)

    def _scaled_part(self, image: np.ndarray, rows: int, columns: int) -> np.ndarray:
        # Pixels of `image` per pixel of the scaled image.
        y, x = image.shape[0] / self.height, image.shape[1] / self.width
        if x >= 1 and y >= 1:
            interpolation = cv2.INTER_AREA if max(x, y) > 2 else cv2.INTER_LINEAR
            scaled = cv2.resize(image, (self.width, self.height), interpolation=interpolation)
            return scaled[self.top : self.top + rows, self.left : self.left + columns]
        # Only the window of an enlarged image is computed; pixel centres are at half-integers.
        to_source = np.array([[x, 0, (self.left + 0.5) * x - 0.5], [0, y, (self.top + 0.5) * y - 0.5]])
        return cv2.warpAffine(
            image,
            to_source,
            (columns, rows),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )


def _nearest(start: int, count: int, source_size: int, scaled_size: int) -> np.ndarray:
    """Index of the source pixel at the centre of each of `count` scaled pixels, beginning at `start`."""
    return (2 * np.arange(start, start + count) + 1) * source_size // (2 * scaled_size)
