"""A batch that does not fit is refused with every error, before anything is trained on it."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.methods.handmade import CLASSES, SUBCLASSES, handmade_batch
from usrn_keras.methods.batch_checks import BatchCheck

pytestmark = pytest.mark.every_backend


def check(*needed: str) -> BatchCheck:
    return BatchCheck("USRN", needed or ("labelled", "labels", "weak", "sublabels"), CLASSES, SUBCLASSES, 255)


def test_a_fitting_batch_is_checked_once():
    one = check()
    one.validate(handmade_batch(0))
    one.validate(handmade_batch(1))
    assert len(one._checked) == 1
    one.validate({name: value[:2] for name, value in handmade_batch(0).items()})
    assert len(one._checked) == 2


def test_missing_keys():
    with pytest.raises(
        ValueError, match="a batch of `USRN` must be a dict of labelled, other; missing: other"
    ):
        check("labelled", "other").validate(handmade_batch(0))
    with pytest.raises(ValueError, match="missing: all keys, received <class 'list'>"):
        check().validate([1])


def test_every_wrong_shape_and_type_is_reported_at_once():
    batch = handmade_batch(0)
    batch["weak"] = batch["weak"][..., :2]
    batch["labels"] = batch["labels"].astype("float32")
    batch["sublabels"] = batch["sublabels"][:, :16]
    with pytest.raises(ValueError) as error:
        check().validate(batch)
    text = str(error.value)
    assert "`weak` must be RGB images (batch, height, width, 3), received the shape (4, 32, 32, 2)" in text
    assert "`labels` must be class ids of an integer type, received float32" in text
    assert "`sublabels` must be (batch, height, width) of `labels`, (4, 32, 32)" in text


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_ids_outside_the_classes(dtype):
    labels = np.array([[[0, 1, CLASSES, 255]]], dtype)
    sublabels = np.array([[[0, SUBCLASSES, -1, SUBCLASSES + 9]]])  # the last pixel has no class
    allowed = rf"`labels` must be in 0..{CLASSES - 1}, or 255 for pixels without a class, received {CLASSES}"
    with pytest.raises(ValueError, match=allowed):
        check().validate_ids({"labels": labels})
    with pytest.raises(ValueError, match=rf"`sublabels` must be .*, received {SUBCLASSES}$"):
        check().validate_ids({"labels": np.where(labels == CLASSES, 0, labels), "sublabels": sublabels})
    check("labelled").validate_ids({"labels": labels})  # what the method does not read may be anything
    check().validate_ids({"labels": np.array([[[0, CLASSES - 1, 255]]], dtype)})


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="ids of a step are known on PyTorch alone")
def test_ids_of_tensors_on_pytorch():
    batch = {name: keras.ops.convert_to_tensor(value) for name, value in handmade_batch(0).items()}
    check().validate(batch)
    batch["labels"] = batch["labels"].clone()[:2]
    batch["labels"][0, 0, 0] = CLASSES + 1
    with pytest.raises(ValueError, match=f"received {CLASSES + 1}"):
        check().validate({name: value[:2] for name, value in batch.items()})


def test_images_must_have_the_bands_of_the_network():
    check = BatchCheck("Supervised", ("labelled", "labels"), 3, None, 255, bands=4)
    labels = np.zeros((2, 8, 8), "int32")
    check.validate({"labelled": np.zeros((2, 8, 8, 4)), "labels": labels})
    message = (
        r"`labelled` must be images of 4 bands \(batch, height, width, 4\), received the shape \(2, 8, 8, 3\)"
    )
    with pytest.raises(ValueError, match=message):
        check.validate({"labelled": np.zeros((2, 8, 8, 3)), "labels": labels})
