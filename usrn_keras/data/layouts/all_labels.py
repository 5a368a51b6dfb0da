"""`data.labels = "all"`: training on the masks of the unlabelled images too, as the paper's Oracle does."""

from __future__ import annotations

from dataclasses import replace

from usrn_keras.data.faults import Faults
from usrn_keras.data.sample import Dataset


def with_all_labels(dataset: Dataset, faults: Faults) -> Dataset:
    """The data set with every unlabelled image that has a mask among the labelled ones, too.

    They stay unlabelled as well. Without any mask more, that is added to `faults`.
    """
    masked = tuple(sample for sample in dataset.unlabelled if sample.mask is not None)
    if not masked:
        faults.add(
            f"data.labels = `all`: none of the {len(dataset.unlabelled)} unlabelled images has a mask; "
            "`split` trains on the labelled ones"
        )
    return replace(dataset, labelled=dataset.labelled + masked)
