"""Check a batch before its first step: keys, shapes, types and class ids, once for each shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any

IMAGES = ("labelled", "weak", "strong", "strong_2", "donor", "donor_strong", "pair", "pair_strong", "pseudo")
LABELS = {"labels": "labelled", "pseudo_labels": "pseudo"}
SUBLABELS = {"sublabels": "labels", "pseudo_sublabels": "pseudo_labels"}


class BatchCheck:
    """Checks the batches of a method; a batch with the same keys, shapes and types is checked once.

    Where the step is a compiled program (JAX, TensorFlow) this runs while the program is traced, so it costs
    nothing in a step, and ids are not known yet. `validate_ids` checks those of arrays.

    Args:
        method: Name of the method, for messages.
        needed: Required keys.
        classes: Number of classes, the channels of F.
        subclasses: Number of subclasses, the channels of F_sub; None without one.
        ignore_index: Label of pixels without a class.
        bands: Number of bands of the images.
    """

    def __init__(
        self,
        method: str,
        needed: Sequence[str],
        classes: int,
        subclasses: int | None,
        ignore_index: int,
        bands: int = 3,
    ):
        self.method = method
        self.needed = tuple(needed)
        self.classes = classes
        self.subclasses = subclasses
        self.ignore_index = ignore_index
        self.bands = bands
        self._checked: set[tuple] = set()

    def validate(self, batch: Any) -> None:
        """Check a batch.

        Args:
            batch: Batch as the class docstring of the method describes it.

        Raises:
            ValueError: Keys are missing, or shapes, types or ids are wrong; the message lists every error.
        """
        missing = [] if not isinstance(batch, Mapping) else [key for key in self.needed if key not in batch]
        if missing or not isinstance(batch, Mapping):
            lacks = ", ".join(missing) or f"all keys, received {type(batch)}"
            raise ValueError(
                f"a batch of `{self.method}` must be a dict of {', '.join(self.needed)}; missing: {lacks}"
            )
        signature = tuple((key, tuple(value.shape), value.dtype) for key, value in batch.items())
        if signature in self._checked:
            return
        read = {key: batch[key] for key in self.needed}
        errors = [*_image_errors(read, self.bands), *_label_errors(read)]
        if not errors and keras.backend.backend() == "torch":
            errors = self._id_errors(read)
        self._raise(errors)
        self._checked.add(signature)

    def validate_ids(self, arrays: Mapping[str, Any]) -> None:
        """Check every class id of arrays in memory; what is not an array is skipped.

        Args:
            arrays: Arrays by the keys of a batch.

        Raises:
            ValueError: Ids are outside the classes.
        """
        known = {k: v for k, v in arrays.items() if k in self.needed and isinstance(v, np.ndarray)}
        self._raise(self._id_errors(known))

    def _id_errors(self, batch: Mapping[str, Any]) -> list[str]:
        errors = []
        for key in LABELS:
            if key in batch:
                ids = batch[key]
                outside = (ids != self.ignore_index) & ((ids < 0) | (ids >= self.classes))
                allowed = f"in 0..{self.classes - 1}, or {self.ignore_index} for pixels without a class"
                errors += _outside(key, ids, outside, allowed)
        for key, labels in SUBLABELS.items():
            if key in batch and self.subclasses is not None:
                ids = batch[key]
                outside = ids >= self.subclasses
                if labels in batch:
                    outside = outside & (batch[labels] != self.ignore_index)
                allowed = f"in 0..{self.subclasses - 1}, or -1 for pixels without a subclass"
                errors += _outside(key, ids, outside, allowed)
        return errors

    def _raise(self, errors: Sequence[str]) -> None:
        if errors:
            raise ValueError("\n  ".join([f"the batch does not fit `{self.method}`:", *errors]))


def _image_errors(batch: Mapping[str, Any], bands: int) -> list[str]:
    what = "RGB images" if bands == 3 else f"images of {bands} band{'s' * (bands > 1)}"
    return [
        f"`{key}` must be {what} (batch, height, width, {bands}), received the shape "
        f"{tuple(batch[key].shape)}"
        for key in IMAGES
        if key in batch and (len(batch[key].shape) != 4 or batch[key].shape[-1] != bands)
    ]


def _label_errors(batch: Mapping[str, Any]) -> list[str]:
    errors = []
    for key, images in [*LABELS.items(), *SUBLABELS.items()]:
        if key not in batch:
            continue
        shape, dtype = tuple(batch[key].shape), keras.backend.standardize_dtype(batch[key].dtype)
        if not dtype.startswith(("int", "uint")):
            errors.append(f"`{key}` must be class ids of an integer type, received {dtype}")
        if images in batch and not _same_sides(shape, tuple(batch[images].shape)[:3]):
            errors.append(
                f"`{key}` must be (batch, height, width) of `{images}`, "
                f"{tuple(batch[images].shape)[:3]}, received the shape {shape}"
            )
    return errors


def _same_sides(shape: tuple, expected: tuple) -> bool:
    """Whether two shapes agree; a size that is unknown while a graph is traced agrees with every size."""
    return len(shape) == len(expected) and all(
        None in (one, other) or one == other for one, other in zip(shape, expected, strict=True)
    )


def _outside(key: str, ids: Any, outside: Any, allowed: str) -> list[str]:
    if not bool(outside.any()):
        return []
    found = np.unique(np.asarray(ops.convert_to_numpy(ids))[np.asarray(ops.convert_to_numpy(outside))])
    return [f"`{key}` must be {allowed}, received {', '.join(map(str, found[:8].tolist()))}"]
