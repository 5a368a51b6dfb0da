"""Networks whose predictions are known, and images to predict."""

from __future__ import annotations

from pathlib import Path

import cv2
import keras
import numpy as np

from usrn_keras.data import Dataset, Sample


def convolution(kernel: np.ndarray, bias: np.ndarray | None = None) -> keras.Model:
    """Logits by one convolution `(rows, columns, 3, classes)`, zeros beyond the border."""
    bias = np.zeros(kernel.shape[-1]) if bias is None else bias
    layer = keras.layers.Conv2D(kernel.shape[-1], kernel.shape[:2], padding="same")
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Rescaling(1.0), layer])
    layer.set_weights([kernel.astype("float32"), np.asarray(bias, "float32")])
    return model


def red_reader(classes: int) -> keras.Model:
    """The class of a pixel is its red value: the logit 2 r c - r_c^2 is largest where c = r."""
    values = np.arange(classes)
    kernel = np.zeros((1, 1, 3, classes))
    kernel[0, 0, 0] = 2 * values
    return convolution(kernel, -(values**2))


def random_convolution(size: int, classes: int = 4, seed: int = 0) -> keras.Model:
    kernel = np.random.default_rng(seed).normal(size=(size, size, 3, classes)) / (100 * size)
    return convolution(kernel)


def pooling_network(classes: int = 4, seed: int = 0) -> keras.Model:
    """Logits at stride 1 to which the mean of all pixels adds, as ASPP pools: padding is seen everywhere."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(images)
    near = keras.layers.Conv2D(classes, 3, padding="same")
    far = keras.layers.Conv2D(classes, 1)
    pooled = far(keras.layers.GlobalAveragePooling2D(keepdims=True)(x))
    model = keras.Model(images, keras.layers.Add()([near(x), pooled]))
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=weight.shape).astype("float32") for weight in model.get_weights()])
    return model


def probabilities(model: keras.Model, image: np.ndarray) -> np.ndarray:
    """The softmax of the logits of an image whose sides 32 divides, in numpy."""
    logits = np.asarray(keras.ops.convert_to_numpy(model(image[None])))[0].astype(np.float64)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def random_image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def red_dataset(folder: Path, sizes: list[tuple[int, int]], classes: int) -> tuple[Dataset, list, list]:
    """A data set for `red_reader` as val, with some ignored pixels; its labels and red values."""
    rng = np.random.default_rng(0)
    samples, labels, reds = [], [], []
    for index, size in enumerate(sizes):
        image, mask = folder / f"{index}.png", folder / f"{index}_mask.png"
        red = rng.integers(0, classes, size)
        label = np.where(rng.random(size) < 0.6, red, rng.integers(0, classes, size))
        label[rng.random(size) < 0.1] = 255
        cv2.imwrite(str(image), np.stack([red * 0, red * 0 + 7, red], axis=-1).astype(np.uint8))
        cv2.imwrite(str(mask), label.astype(np.uint8))
        samples.append(Sample(str(index), image, mask))
        labels.append(label)
        reds.append(red)
    names = tuple(f"class {i}" for i in range(classes))
    palette = np.zeros((classes, 3), np.uint8)
    return Dataset("reds", names, palette, (), (), tuple(samples)), labels, reds
