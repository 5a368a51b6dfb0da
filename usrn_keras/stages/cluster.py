"""Stage 1b: subclasses of equal size from the Baseline's features."""

from __future__ import annotations

from collections.abc import Callable

from usrn_keras.data import Dataset, read_mask
from usrn_keras.errors import RecipeError
from usrn_keras.progress import Progress
from usrn_keras.runs import SUBCLASSES, Run
from usrn_keras.stages.baseline import trained_baseline
from usrn_keras.subclasses import Clustering, class_balance_rate, class_pixels, make_subclasses


def cluster(run: Run, dataset: Dataset, progress: Progress, log: Callable[[str], None]) -> None:
    """Write `2-subclasses/`: the subclasses, their centres and the sublabel maps."""
    settings = run.recipe.subclasses
    if settings.counts and len(settings.counts) != len(dataset.classes):
        raise RecipeError(
            f"subclasses.counts: must have one count for each of the {len(dataset.classes)} classes of "
            f"{dataset.name}, received {len(settings.counts)}"
        )
    options = Clustering(**settings.model_dump())
    model = trained_baseline(run, dataset).branch.feature_model()
    subclasses = make_subclasses(model, dataset, run.stage(SUBCLASSES), options, progress=progress, warn=log)
    before = class_pixels([read_mask(s.mask, dataset) for s in dataset.labelled], len(dataset.classes))
    facts = {
        "subclasses": subclasses.total,
        "counts": dict(zip(dataset.classes, subclasses.counts.tolist(), strict=True)),
        "class_balance_rate": {
            "classes": round(class_balance_rate(before), 4),
            "subclasses": round(class_balance_rate(subclasses.sizes), 4),
        },
    }
    run.complete(SUBCLASSES, **facts)
    rates = facts["class_balance_rate"]
    log(
        f"{subclasses.total} subclasses of {len(dataset.classes)} classes; class balance rate "
        f"{rates['classes']:.1%} -> {rates['subclasses']:.1%}"
    )
