"""The pseudo labels of a whole image, by the code that training makes them with."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from usrn_keras.data.batches.padding import pad_image
from usrn_keras.evaluation.forward import Forward
from usrn_keras.losses.pseudo_labels import normalised_entropy, pseudo_labels
from usrn_keras.methods import USRN
from usrn_keras.terms import gate_of

Tensor = Any
STRIDE = 8  # of the logits that unlabelled losses see
NUMBERS = {
    "labels": np.int64,
    "own_labels": np.int64,
    "sub_labels": np.int64,
    "confidence": np.float32,
    "own_confidence": np.float32,
    "sub_confidence": np.float32,
    "open": bool,
    "entropy": np.float32,
    "sub_entropy": np.float32,
}


class PseudoLabeller:
    """Both branches on whole images, one by one.

    As in training, features are average-pooled 2x2 before the classifiers, and `pseudo_labels` does the
    rest. Unlike there, the image is not augmented, and batch normalisation and dropout are those of
    inference: nothing is drawn and no statistic moves, so that training goes on as if nobody had looked.

    Args:
        model: Weights that change later are seen.

    Example:

    >>> from usrn_keras.networks import build_branches
    >>> branch, sub_branch = build_branches(
    ...     "keras/mobilenet", classes=2, subclasses=3, weights="none", width=0.25)
    >>> label = PseudoLabeller(USRN(branch, sub_branch, parents=[0, 0, 1]))
    >>> label(np.zeros((40, 60, 3), "uint8"))["labels"].shape
    (5, 7)
    """

    def __init__(self, model: USRN):
        self._answers = Forward(model, lambda _, images: _answers(model, images))

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """What both branches say of the cells of an image; a cell is 8 x 8 pixels.

        Args:
            image: `(height, width, 3)` uint8 RGB.

        Returns:
            Arrays `(rows, columns)` of the cells whose centre lies in the image: class ids `labels` (after
            the correction by F_sub), `own_labels` (F's) and `sub_labels` (parents of F_sub's subclasses);
            `confidence`, `own_confidence` and `sub_confidence` of each in 0..1; `open` (bool, Eq. 6);
            the normalised entropies `entropy` (F) and `sub_entropy` (F_sub) in 0..1.
        """
        found = self._answers(pad_image(image)[None])[0]
        rows, columns = (len(range(STRIDE // 2, size, STRIDE)) for size in image.shape[:2])
        found = found[:rows, :columns]
        return {name: found[..., i].astype(dtype) for i, (name, dtype) in enumerate(NUMBERS.items())}


def at_centres(labels: np.ndarray) -> np.ndarray:
    """The label at the centre of each cell: `(height, width)` -> `(rows, columns)`.

    Example:

    >>> at_centres(np.arange(12 * 9).reshape(12, 9)).tolist()
    [[40]]
    """
    return labels[STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE]


def _answers(model: USRN, images: Tensor) -> Tensor:
    """`(batch, rows, columns, len(NUMBERS))` float32: one tensor leaves the device."""
    found = model.view_logits(ops.cast(images, "float32"), pooled=True, training=False)
    logits, sub_logits = found["own"], found["sub"]
    parents = ops.convert_to_tensor(np.array(model.parents, dtype="int32"))
    gate = gate_of(model.terms, model.gate)
    found = pseudo_labels(logits, sub_logits, parents, gate=gate, correction=model.correction)
    found["sub_labels"] = ops.take(parents, found["sublabels"])
    found["entropy"] = normalised_entropy(logits)
    found["sub_entropy"] = normalised_entropy(sub_logits)
    return ops.stack([ops.cast(found[name], "float32") for name in NUMBERS], axis=-1)
