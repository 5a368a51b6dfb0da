"""A two-branch network of a few layers, and batches for it: compiles in seconds, and numpy can follow it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import layers

from usrn_keras.data.views.crop_pair import overlaps
from usrn_keras.data.views.cutmix_boxes import CutMixBoxes
from usrn_keras.data.views.weak_view import Window
from usrn_keras.networks import Branch
from usrn_keras.strong_view import StrongView

CLASSES, SUBCLASSES, PARENTS = 3, 5, (0, 0, 1, 2, 2)
LOW, HIGH, DECODER = 6, 8, 7  # channels
IMAGES, SIZE, PATCH = 4, 32, 8
EPSILON, MOMENTUM = 1e-3, 0.9  # of batch normalisation


def handmade_branches(bands: int = 3) -> tuple[Branch, Branch]:
    """F and F_sub, which share the stem (`sharing = "low"`); no dropout, weights as Keras draws them."""
    shared = _stem(bands)
    branch = Branch(shared, _tail(), _decoder(), _classifier(CLASSES), name="branch")
    return branch, Branch(shared, _tail(), _decoder(), _classifier(SUBCLASSES), name="sub_branch")


def second_branch() -> Branch:
    """F of a second network, which shares nothing with the first."""
    return Branch(_stem(), _tail(), _decoder(), _classifier(CLASSES), name="branch")


def variables_of(branch: Branch, sub_branch: Branch | None = None) -> list[keras.Variable]:
    """All variables of one or two branches, each once, in an order that no method class can change."""
    found: dict[int, keras.Variable] = {}
    for part in ("stem", "tail", "decoder", "classifier"):
        for one in (branch, sub_branch):
            if one is not None:
                found |= {id(variable): variable for variable in getattr(one, part).variables}
    return list(found.values())


def handmade_batch(seed: int, *, ignore_index: int = 255) -> dict[str, np.ndarray]:
    """Images of patches in the colour of their subclass, with noise; some pixels have no class."""
    rng = np.random.default_rng(seed)
    colours = np.random.default_rng(0).integers(40, 216, (SUBCLASSES, 3))

    def scene() -> tuple[np.ndarray, np.ndarray]:
        patches = rng.integers(0, SUBCLASSES, (IMAGES, SIZE // PATCH, SIZE // PATCH))
        subclasses = patches.repeat(PATCH, axis=1).repeat(PATCH, axis=2)
        noise = rng.integers(-40, 40, (IMAGES, SIZE, SIZE, 3))
        return subclasses.astype("int32"), (colours[subclasses] + noise).astype("uint8")

    (sublabels, labelled), (_, weak) = scene(), scene()
    unknown = rng.random(sublabels.shape) < 0.1
    return {
        "labelled": labelled,
        "weak": weak,
        "labels": np.where(unknown, ignore_index, np.array(PARENTS)[sublabels]).astype("int32"),
        "sublabels": np.where(unknown, -1, sublabels).astype("int32"),
        "labelled_parameters": StrongView().draw(rng, IMAGES),
        "strong_parameters": StrongView().draw(rng, IMAGES),
    }


def handmade_cutmix_batch(seed: int, boxes: CutMixBoxes) -> dict[str, np.ndarray]:
    """A batch of `handmade_batch` with donors and boxes; a few views have padding."""
    batch, donors = handmade_batch(seed), handmade_batch(seed + 1000)
    rng, second = np.random.default_rng(seed), np.random.default_rng([seed, 2])
    filled = np.tile(np.int32([0, 0, SIZE, SIZE]), (IMAGES, 1))
    return batch | {
        "donor": donors["weak"],
        "donor_strong_parameters": donors["strong_parameters"],
        "boxes": boxes.draw(rng, IMAGES, SIZE, SIZE),
        "boxes_2": boxes.draw(second, IMAGES, SIZE, SIZE),
        "strong_2_parameters": StrongView().draw(second, IMAGES),
        "donor_strong_2_parameters": StrongView().draw(second, IMAGES),
        "draws": second.random((IMAGES, 2), np.float32),
        "weak_filled": filled - np.int32([0, 0, 5, 0]),
        "donor_filled": filled + np.int32([0, 3, 0, 0]),
    }


def handmade_pair_batch(seed: int) -> dict[str, np.ndarray]:
    """A batch of `handmade_batch` whose second crops lie 8 pixels to the right, every other one mirrored."""
    batch, rng = handmade_batch(seed), np.random.default_rng(seed)
    first = Window(SIZE, SIZE + 8, top=0, left=0, crop_size=SIZE, flip=False)
    moved = np.roll(batch["weak"], -8, axis=2)
    flips = np.arange(IMAGES) % 2 == 1
    seconds = [replace(first, left=8, flip=bool(flip)) for flip in flips]
    return batch | {
        **overlaps([first] * IMAGES, seconds),
        "pair": np.where(flips[:, None, None, None], moved[:, :, ::-1], moved),
        "pair_strong_parameters": StrongView().draw(rng, IMAGES),
        "progress": np.float32(0.5),
    }


def handmade_pseudo_batch(seed: int) -> dict[str, np.ndarray]:
    """A batch of `handmade_batch` with pseudo masks in place of weak views; half of their pixels are kept."""
    batch, unlabelled = handmade_batch(seed), handmade_batch(seed + 2000)
    rng = np.random.default_rng(seed)
    kept, kept_sub = rng.random((2, IMAGES, SIZE, SIZE)) < 0.5
    named = ("labelled", "labels", "sublabels", "labelled_parameters")
    return {name: batch[name] for name in named} | {
        "pseudo": unlabelled["labelled"],
        "pseudo_labels": np.where(kept, unlabelled["labels"], 255).astype("int32"),
        "pseudo_sublabels": np.where(kept_sub, unlabelled["sublabels"], -1).astype("int32"),
        "pseudo_parameters": unlabelled["strong_parameters"],
    }


def _stem(bands: int = 3) -> keras.Model:
    """Images to features at stride 4: patches of 4 x 4 pixels."""
    images = keras.Input((None, None, bands))
    x = layers.Rescaling(1 / 127.5, -1.0)(images)
    x = layers.Conv2D(LOW, 4, strides=4, use_bias=False, name="patches")(x)
    return keras.Model(images, layers.ReLU()(_normalised(x, "patches_norm")))


def _tail() -> keras.Model:
    """Features at stride 4 to features at stride 8."""
    low = keras.Input((None, None, LOW))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(low)
    x = layers.ReLU(6.0)(_normalised(x, "depthwise_norm"))
    x = layers.Conv2D(HIGH, 2, strides=2, use_bias=False, name="halving")(x)
    return keras.Model(low, layers.ReLU()(_normalised(x, "halving_norm")))


def _decoder() -> keras.Model:
    low, high = keras.Input((None, None, LOW)), keras.Input((None, None, HIGH))
    x = layers.Concatenate()([layers.UpSampling2D(2, interpolation="bilinear")(high), low])
    x = layers.Conv2D(DECODER, 3, padding="same", use_bias=False, name="fusion")(x)
    return keras.Model([low, high], layers.ReLU()(_normalised(x, "fusion_norm")))


def _classifier(outputs: int) -> keras.Model:
    features = keras.Input((None, None, DECODER))
    return keras.Model(features, layers.Conv2D(outputs, 1, name="logits")(features))


def _normalised(x: Any, name: str) -> Any:
    return layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, name=name)(x)
