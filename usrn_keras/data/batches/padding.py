"""Pad images of any size to the few sizes that networks are compiled for."""

from __future__ import annotations

from bisect import bisect_left

import cv2
import numpy as np

from usrn_keras.data.channel_groups import by_channel_groups

# The mean of ImageNet, which is near zero after the normalisation of the network. Used as padding of training
# crops and of sliding windows, which resemble them.
IMAGE_MEAN = (124, 116, 104)
GREY_MEAN = 115  # their mean, for each band of other images than RGB
STRIDE = 32  # stride of the deepest features, which must divide the height and width
# Every multiple of 32 up to 256, then four sizes per octave, with the common sizes 480 and 960.
SIDES = (*range(STRIDE, 257, STRIDE), 320, 384, 480, 512, 640, 768, 960, 1024)
LARGE_STEP = 128  # step of larger sides


def neutral_colour(channels: int) -> tuple[int, ...]:
    """Colour near zero after the normalisation of the network, for padding: `(channels,)` in 0..255.

    Example:

    >>> neutral_colour(3), neutral_colour(4)
    ((124, 116, 104), (115, 115, 115, 115))
    """
    return IMAGE_MEAN if channels == len(IMAGE_MEAN) else (GREY_MEAN,) * channels


def padded_side(size: int) -> int:
    """Compute the side that a height or width is padded to, a multiple of 32.

    JAX and TensorFlow compile a network for each input size, which takes seconds. So sides are rounded up to
    a few values, at the cost of additional pixels (`python benchmarks/padding.py sizes`):

        sizes compiled for, area added   multiples of 32   these        multiples of 128 above 256
        VOC                              17     6.1 %       9  10.0 %    5  12.1 %
        VOC, any short side              17     6.7 %       9  12.3 %    5  20.0 %
        COCO                             17     2.4 %       7   6.8 %    5  11.9 %
        photographs                     382     4.3 %      48  18.0 %   36  18.7 %
        360 x 480                         1     6.7 %       1   6.7 %    1  13.8 %

    Above 256 x 256 padding adds at most 56 % of the area, above 1024 x 1024 at most 27 %. The size depends on
    the image only, not on the backend.

    Args:
        size: Height or width in pixels.

    Example:

    >>> [padded_side(size) for size in (20, 333, 375, 480, 500, 1080, 2048)]
    [32, 384, 384, 480, 512, 1152, 2048]
    """
    return size + -size % LARGE_STEP if size > SIDES[-1] else SIDES[bisect_left(SIDES, size)]


def padded_size(size: tuple[int, int]) -> tuple[int, int]:
    """Compute the padded height and width of an image, see `padded_side`."""
    return padded_side(size[0]), padded_side(size[1])


def pad_image(image: np.ndarray) -> np.ndarray:
    """Pad an image at the bottom and on the right to its `padded_size` with its mean colour.

    Padding is not neutral, because the decoder of DeepLab pools over the whole image. The mean colour of the
    image does not decrease the mIoU, and changes about as few predictions as the best alternative. Measured
    with a MobileNet trained on CamVid (mIoU on every third val image, 352 x 480 of its pixels, padded further
    than necessary; then the share of pixels whose prediction differs from that without padding):

        padded to   mean of image     mean of ImageNet   reflected         last row and column
        352 x 480   37.87
        384 x 512   37.99    2.9 %    37.54    3.3 %     37.07    3.2 %    36.67     6.5 %
        448 x 512   38.06    3.3 %    37.03    4.6 %     36.93    3.4 %    36.37     9.1 %
        512 x 512   38.23    4.1 %    36.22    6.9 %     37.01    3.8 %    36.40    10.2 %

    (`python benchmarks/padding.py colours --run RUN --every 3`)

    Args:
        image: Image `(height, width, channels)` uint8.

    Example:

    >>> padded = pad_image(np.full((33, 64, 3), 7, "uint8"))
    >>> padded.shape, padded[-1, -1].tolist()
    ((64, 64, 3), [7, 7, 7])
    """
    height, width = image.shape[:2]
    rows, columns = padded_size((height, width))

    def padded(part: np.ndarray) -> np.ndarray:
        mean = np.rint(cv2.mean(part)).tolist()
        return cv2.copyMakeBorder(part, 0, rows - height, 0, columns - width, cv2.BORDER_CONSTANT, value=mean)

    return by_channel_groups(padded, image)


def pad_map(values: np.ndarray, fill: int) -> np.ndarray:
    """Pad a map `(height, width)` like its image, with the value `fill`."""
    return np.pad(values, [(0, padded_side(size) - size) for size in values.shape], constant_values=fill)


def fill_batch(images: np.ndarray, batch: int) -> np.ndarray:
    """Append black images to a batch that is not full.

    So a network is compiled for one batch size, and the result of an image does not depend on the number of
    images, which may change its last digits.

    Args:
        images: Images `(n, height, width, channels)`.
        batch: Size of a full batch.

    Returns:
        `(batch, height, width, channels)`.
    """
    missing = max(0, batch - len(images))
    return (
        np.concatenate([images, np.zeros_like(images, shape=(missing, *images.shape[1:]))])
        if missing
        else images
    )
