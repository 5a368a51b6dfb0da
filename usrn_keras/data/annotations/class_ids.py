"""Choose the class id of each label of annotations."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from usrn_keras.data.annotations.annotation_set import BACKGROUND, AnnotationSet, is_background
from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.mask_values import voc_palette

IGNORE = 255  # mask value of pixels without a class
UNKNOWN = -1
MAX_CLASSES = 255
UNLABELLED = (BACKGROUND, "ignore")
VOID_NAMES = ("void", "ignore", "ignored", "unlabelled", "unlabeled", "unknown", "don't care")
"""Names of classes, in lower case, that mean pixels without a class."""
SHOWN = 20


@dataclass(frozen=True, eq=False)
class ClassIds:
    """Classes of the masks to draw.

    Args:
        classes: Class names by id.
        of_label: Mask value of each label: a class id, or 255; `UNKNOWN` if `names` does not list it.
        unlabelled: Mask value of pixels of no shape.
        palette: Colours of all mask values, `(256, 3)` uint8.
    """

    classes: tuple[str, ...]
    of_label: dict[str, int]
    unlabelled: int
    palette: np.ndarray


def choose_class_ids(
    found: AnnotationSet,
    errors: ErrorList,
    *,
    names: Sequence[str] = (),
    unlabelled: str = "",
    ignore: Collection[str] = (),
) -> ClassIds:
    """Choose the classes: those of `names`, or the labels in the order that the source declares.

    Labels that are not declared are sorted by name. Where pixels of no shape are background, a class
    `background` is the first, unless a label has that name.

    Args:
        found: Annotations.
        errors: Receives labels that are not in `names`.
        names: Given class names by id; empty to take the labels.
        unlabelled: `background` or `ignore`; empty for what is usual in the format.
        ignore: Labels whose pixels have no class.
    """
    first: dict[str, str] = {}
    for image in found.images:
        for shape in image.shapes:
            first.setdefault(shape.label, shape.place)
    used = sorted(first, key=lambda label: (not is_background(label), label))
    labels = list(dict.fromkeys([*found.labels, *used]))
    given = {_class_of(name) for name in names}
    void = {label for label in labels if label not in given and _is_void(label, found, ignore)}
    if absent := sorted(set(ignore) - set(labels)):
        errors.add(f"--ignore {', '.join(absent)}: no such label; the labels are {_listed(labels)}")
    kept = list(dict.fromkeys(_class_of(label) for label in labels if label not in void))
    classes = [_class_of(name) for name in names] or list(kept)
    as_background = (unlabelled or found.unlabelled) == BACKGROUND
    if as_background and not found.complete and BACKGROUND not in classes:
        if names:
            errors.add(
                "--names lists no class `background` for pixels of no shape: add it, or choose "
                "--unlabelled ignore"
            )
        else:
            classes.insert(0, BACKGROUND)
    unknown = [label for label in kept if label not in classes and label in first]
    for label in unknown:
        errors.add(
            f"the label `{label}`, first in {first[label]}, is not in --names; allowed are "
            f"{_listed(classes)}; --ignore excludes a label"
        )
    if len(classes) > MAX_CLASSES:
        errors.add(f"the annotations have {len(classes)} classes; a palette PNG holds at most {MAX_CLASSES}")
    id_of = {name: index for index, name in enumerate(classes[:MAX_CLASSES])}
    of_label = {label: IGNORE if label in void else id_of.get(_class_of(label), UNKNOWN) for label in labels}
    value = id_of.get(BACKGROUND, IGNORE) if as_background else IGNORE
    return ClassIds(tuple(classes), of_label, value, _palette(found, classes))


def _class_of(label: str) -> str:
    return BACKGROUND if is_background(label) else label


def _is_void(label: str, found: AnnotationSet, ignore: Collection[str]) -> bool:
    return label in ignore or label in found.ignored or label.lower() in VOID_NAMES


def _palette(found: AnnotationSet, classes: Sequence[str]) -> np.ndarray:
    """Colours of the source if it has different ones for all classes, otherwise those of PASCAL VOC."""
    palette = voc_palette(256)
    colours = {_class_of(label): c for label, c in found.colours.items()}
    own = [colours.get(name, (0, 0, 0) if name == BACKGROUND else None) for name in classes[:MAX_CLASSES]]
    if None not in own and len(set(own)) == len(own):
        palette[: len(own)] = own
    return palette


def _listed(labels: Sequence[str]) -> str:
    more = f", ... ({len(labels) - SHOWN} more)" if len(labels) > SHOWN else ""
    return ", ".join(f"`{label}`" for label in list(labels)[:SHOWN]) + more
