"""The weak view of features: crops of the features of whole images at aligned positions, and their mirror."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from usrn_keras.data.batches.padding import padded_side
from usrn_keras.data.channel_groups import by_channel_groups
from usrn_keras.data.views.weak_view import Window

LOW_STRIDE = 4  # of the low-level features


@dataclass(frozen=True)
class FeatureView:
    """Crop and horizontal flip of the features of whole images, and of their maps.

    An image is scaled to one long side and padded at the bottom and on the right, and a frozen backbone
    computes its features once, and once for the mirrored image. A view is a window of them whose place is a
    multiple of the stride, so that it consists of whole feature pixels. Beside the views of images
    (`WeakView`) there is no random scale, and the features near the border of a window have seen what is
    beyond it.

    Args:
        crop_size: Height and width of the view in pixels, a multiple of the stride.
        long_side: Long side of an image in pixels.
        stride: Stride of the deepest features.
        flip: Probability of a horizontal flip.

    Example:

    >>> view = FeatureView(crop_size=64, long_side=96)
    >>> view.padded_size(50, 96), view.draw(np.random.default_rng(0), 50, 96).left % 16
    ((64, 96), 0)
    """

    crop_size: int
    long_side: int
    stride: int = 16
    flip: float = 0.5

    def scaled_size(self, height: int, width: int) -> tuple[int, int]:
        """Compute height and width of an image at the scale of the view."""
        factor = self.long_side / max(height, width)
        return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Compute height and width of a scaled image with its padding: at least a view."""
        rows, columns = self.scaled_size(height, width)
        return max(padded_side(rows), self.crop_size), max(padded_side(columns), self.crop_size)

    def whole(self, image: np.ndarray, size: tuple[int, int], *, flip: bool) -> np.ndarray:
        """Scale an image, pad it with its mean colour, and mirror it, all that the backbone sees of it.

        Args:
            image: Image `(height, width, 3)` uint8, possibly reduced by 2, 4 or 8.
            size: Height and width of the whole image.
            flip: Whether to mirror the image.
        """
        rows, columns = self.scaled_size(*size)
        if image.shape[:2] != (rows, columns):
            shrinks = image.shape[0] > 2 * rows
            method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            resize = functools.partial(cv2.resize, dsize=(columns, rows), interpolation=method)
            image = by_channel_groups(resize, image)
        height, width = self.padded_size(*size)
        padded = np.empty((height, width, image.shape[2]), np.uint8)
        padded[:] = np.rint(image.mean(axis=(0, 1)))
        padded[:rows, :columns] = image
        return np.ascontiguousarray(padded[:, ::-1]) if flip else padded

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Window:
        """Draw the window of a view, which `cut` and `Window.cut_map` cut.

        Args:
            rng: Random generator.
            height: Height of the whole image in pixels.
            width: Width of the whole image in pixels.
        """
        rows, columns = self.scaled_size(height, width)
        places = [-(-max(0, side - self.crop_size) // self.stride) for side in (rows, columns)]
        top, left = (int(rng.integers(0, place, endpoint=True)) * self.stride for place in places)
        return Window(rows, columns, top, left, self.crop_size, flip=bool(rng.random() < self.flip))

    def cut(self, window: Window, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cut a window of the features of a whole image.

        Args:
            window: The window.
            low: Low-level features of the image, of the mirrored one if the window is mirrored.
            high: Deepest features.

        Returns:
            `(crop_size / 4, crop_size / 4, channels)` and `(crop_size / stride, ..., channels)`.
        """
        return self._part(window, low, LOW_STRIDE), self._part(window, high, self.stride)

    def _part(self, window: Window, features: np.ndarray, stride: int) -> np.ndarray:
        top, left, side = (pixels // stride for pixels in (window.top, window.left, self.crop_size))
        if window.flip:
            left = features.shape[1] - left - side
        return features[top : top + side, left : left + side]
