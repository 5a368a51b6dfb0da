"""Contents of a batch, as a method needs them."""

from __future__ import annotations

from dataclasses import dataclass

from usrn_keras.data.views.cutmix_boxes import CutMixBoxes


@dataclass(frozen=True)
class BatchSpec:
    """Contents of a batch in addition to `labelled` images and their `labels`.

    Args:
        unlabelled: Whether the batch contains weak views of unlabelled images, `weak`.
        strong: Number of strong views of the unlabelled images, 0, 1 or 2.
        sublabels: Whether the batch contains the subclass of each labelled pixel, `sublabels`.
        progress: Whether the batch contains `progress`, the completed share of training, a float32 scalar;
            `(1,)` for `fit` of Keras, which on TensorFlow takes no scalars.
        donor: Whether the batch contains views of other unlabelled images, `donor`, for CutMix.
        boxes: Distribution of the boxes of CutMix, `boxes (U, n, 4)` int32; None for no boxes.
        boxes_2: Distribution of a second set of boxes, `boxes_2 (U, n, 4)` int32; None for no such boxes.
        draws: Number of uniform random numbers of each unlabelled image, `draws (U, n)` float32 in 0..1.
        filled: Whether the batch contains the box of each unlabelled view that is image and not padding,
            `weak_filled` and `donor_filled (U, 4)` int32.
        pair: Whether the batch contains a second crop of each unlabelled image, `pair`, and the positions
            that both show, `overlap_1`, `overlap_2` int32 and `overlap_valid` bool, `(U, P)`.
        pseudo: Whether the batch contains weak views of unlabelled images with their pseudo masks, `pseudo`
            and `pseudo_labels`; with `strong`, `pseudo_parameters` are those of a strong view.
    """

    unlabelled: bool = False
    strong: int = 0
    sublabels: bool = False
    progress: bool = False
    donor: bool = False
    boxes: CutMixBoxes | None = None
    boxes_2: CutMixBoxes | None = None
    draws: int = 0
    filled: bool = False
    pair: bool = False
    pseudo: bool = False

    @property
    def reads_unlabelled(self) -> bool:
        """Whether the batch contains unlabelled images."""
        return self.unlabelled or self.pseudo

    @property
    def keys(self) -> list[str]:
        """Required keys of a batch."""
        views = ["weak"] * self.unlabelled + ["donor"] * self.donor
        return [
            *("labelled", "labels"),
            *["sublabels"] * self.sublabels,
            *views,
            *[f"{view}_filled" for view in views if self.filled],
            *self.boxes_by_name,
            *["draws"] * (self.draws > 0),
            *["pair", "overlap_1", "overlap_2", "overlap_valid"] * self.pair,
            *["pseudo", "pseudo_labels"] * self.pseudo,
            *["progress"] * self.progress,
        ]

    @property
    def boxes_by_name(self) -> dict[str, CutMixBoxes]:
        """Distribution of each set of boxes, by its key in a batch."""
        sets = {"boxes": self.boxes, "boxes_2": self.boxes_2}
        return {name: boxes for name, boxes in sets.items() if boxes is not None}
