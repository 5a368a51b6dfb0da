"""Strong views computed with keras-cv layers on the host, instead of on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from usrn_keras.optional import import_keras_cv
from usrn_keras.strong_view import BLUR, BRIGHTNESS, CONTRAST, GRAYSCALE, HUE, SATURATION

if TYPE_CHECKING:
    import tensorflow as tf

REQUIRED_BY = ("views.strong = 'keras_cv'", "views.strong = 'device'")
BLUR_SIZE = 5
BLUR_SIGMA = 1.1  # the sigma of OpenCV for five taps: 0.3 * (2 - 1) + 0.8


class KerasCVView:
    """Strong views with the preprocessing layers of keras-cv, in a tf.data pipeline on the host.

    The layers draw no random numbers: they receive the parameters of `StrongView.draw`. So a view is a
    function of the image and its parameters, and both implementations of strong views use the same parameters
    for a seed. The formulas of keras-cv differ from those of `usrn_keras.strong_view.strong_view`, which
    follow torchvision:

    | part | keras-cv | torchvision, `strong_view` |
    |---|---|---|
    | brightness | adds `255 (f - 1)` | multiplies by `f` |
    | contrast | about the mean of each channel | about the mean of the grey image |
    | saturation | `f` times the S of HSV, V stays, S clipped to 1 | blends with grey, clipped to 0..255 |
    | hue | shift of H in HSV | the same |
    | grayscale | weights 0.2989, 0.587, 0.114 | 0.299, 0.587, 0.114 |
    | blur | Gaussian of sigma 1.1: 0.071 0.245 0.369 ... | binomial: 0.063 0.25 0.375 ... |

    Both have a fixed order (brightness, contrast, saturation, hue, grayscale, blur), while torchvision
    shuffles the first four. Both clip to 0..255 after brightness and contrast. The blur of keras-cv pads with
    black; here the image is mirrored at its border first (reflect 101), as in the other implementation. The
    view is rounded to integers once, at the end.

    Raises:
        BackendError: keras-cv or tensorflow is not installed.

    Example:

    >>> parameters = StrongView().draw(np.random.default_rng(0), 2)                # doctest: +SKIP
    >>> KerasCVView()(np.zeros((2, 320, 320, 3), np.uint8), parameters).shape      # doctest: +SKIP
    (2, 320, 320, 3)
    """

    def __init__(self) -> None:
        layers = import_keras_cv(*REQUIRED_BY).layers
        import tensorflow as tf

        # float32 for every precision of the training; the factors are neutral.
        self._brightness = layers.RandomBrightness(0.0, dtype="float32")
        self._contrast = layers.RandomContrast((0, 255), 0.0, dtype="float32")
        self._saturation = layers.RandomSaturation(0.5, dtype="float32")
        self._hue = layers.RandomHue(0.0, (0, 255), dtype="float32")
        self._grayscale = layers.Grayscale(3, dtype="float32")
        self._blur = layers.RandomGaussianBlur(BLUR_SIZE, (BLUR_SIGMA, BLUR_SIGMA), dtype="float32")
        # Arrays instead of tensors, which the pipeline could not use from another device.
        self._taps = [taps.numpy() for taps in self._blur.get_random_transformation()]
        images = tf.TensorSpec((None, None, None, 3), tf.uint8)
        self._pipeline = tf.function(self._views, input_signature=[images, tf.TensorSpec((None, 6))])

    def __call__(self, images: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        """Compute the strong views of a batch. Thread-safe.

        Args:
            images: RGB images `(batch, height, width, 3)` uint8, at least 3 x 3 pixels.
            parameters: Parameters `(batch, 6)` float32 from `StrongView.draw`.

        Returns:
            `(batch, height, width, 3)` uint8.
        """
        return self._pipeline(images, parameters).numpy()

    def _views(self, images: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        """Run a pipeline for a batch. It is traced once, and tf.data always runs on the host."""
        import tensorflow as tf

        pipeline = tf.data.Dataset.from_tensor_slices((images, parameters)).map(self._view)
        return pipeline.batch(tf.shape(images, tf.int64)[0]).get_single_element()

    def _view(self, image: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        image = tf.cast(image, tf.float32)
        neutral = tf.reduce_all(parameters[: HUE + 1] == [1.0, 1.0, 1.0, 0.0])
        image = tf.cond(neutral, lambda: image, lambda: self._jitter(image, parameters))
        image = tf.cond(
            parameters[GRAYSCALE] > 0, lambda: self._grayscale.augment_images(image), lambda: image
        )
        image = tf.cond(parameters[BLUR] > 0, lambda: self._blurred(image), lambda: image)
        return tf.saturate_cast(tf.round(image), tf.uint8)

    def _jitter(self, image: tf.Tensor, parameters: tf.Tensor) -> tf.Tensor:
        """Apply the layers of RandomColorJitter of keras-cv, in its order, to a batch of one image."""
        batch, factors = image[None], parameters[None]
        batch = self._brightness.augment_images(batch, 255 * (factors[:, BRIGHTNESS, None, None, None] - 1))
        batch = self._contrast.augment_images(batch, factors[:, CONTRAST, None, None, None])
        # keras-cv represents a saturation factor f as f / (1 + f).
        saturation = factors[:, SATURATION] / (1 + factors[:, SATURATION])
        batch = self._saturation.augment_images(batch, saturation)
        return self._hue.augment_images(batch, factors[:, HUE])[0]

    def _blurred(self, image: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        margin = BLUR_SIZE // 2
        mirrored = tf.pad(image, [(margin, margin), (margin, margin), (0, 0)], mode="REFLECT")
        blurred: Any = self._blur.augment_image(mirrored, self._taps)
        return blurred[margin:-margin, margin:-margin]
