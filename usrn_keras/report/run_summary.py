"""Everything that the page of a run shows, as plain figures: nothing here trains, predicts or draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from usrn_keras.metrics import Scores
from usrn_keras.recipe.stage_plan import Train
from usrn_keras.report.cluster_report import ClusterReport
from usrn_keras.report.comparison import RARE
from usrn_keras.report.pictures import PredictedImage


@dataclass(eq=False)
class RunSummary:
    """What is known of a run. Whatever is empty or None is missing, and `missing` may give the reason.

    Args:
        name: Name of the run.
        classes: C class names.
        palette: `(C, 3)` uint8 RGB.
        facts: Names and values that describe the run: data set, method, network, hardware, time.
        recipe: The recipe of the run as text.
        recipe_file: Path of the recipe for `usrn fit`; empty if an earlier version wrote it.
        stages: The training stages.
        seed: `training.seed`.
        scores: Scores of its models, the reference model first.
        training: Training records of each model, by the name of the model, in the order of the stages.
        pseudo_labels: Records of the quality of the pseudo labels of the last model.
        has_subclasses: Whether the method has a clustering stage.
        has_gate: Whether the method has a gate that decides at each pixel whether F_sub corrects the label.
        pseudo_label_note: A sentence on how this run uses its pseudo labels; empty where nothing is special.
        clusters: The subclasses of the run.
        images: The measured images, or some of them, with predictions; all arrays made smaller.
        measured: Number of the measured images, at least that of `images`.
        missing: Reason why something is missing, one sentence each; keys are `scores`, `pseudo_labels`,
            `clusters`, `pictures` (all of them) and `images` (some of them).
    """

    name: str
    classes: tuple[str, ...]
    palette: np.ndarray
    facts: list[tuple[str, str]] = field(default_factory=list)
    recipe: str = ""
    recipe_file: str = ""
    stages: Sequence[Train] = ()
    seed: int = 0
    scores: list[Scores] = field(default_factory=list)
    training: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    pseudo_labels: list[dict[str, Any]] = field(default_factory=list)
    has_subclasses: bool = False
    has_gate: bool = False
    pseudo_label_note: str = ""
    clusters: ClusterReport | None = None
    images: list[PredictedImage] = field(default_factory=list)
    measured: int = 0
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def rare(self) -> np.ndarray:
        """`(C,)` bool, the rare classes of the measured images; none if nothing was measured."""
        return self.scores[0].rare if self.scores else np.zeros(len(self.classes), bool)

    def marked(self, class_id: int) -> str:
        """The name of a class, with an asterisk if it is rare."""
        return self.classes[class_id] + (f" {RARE}" if self.rare[class_id] else "")
