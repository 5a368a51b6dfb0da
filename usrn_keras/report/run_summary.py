"""What is known of a run, for whoever draws it: plain figures, nothing that trains or predicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from usrn_keras.metrics.scores import Scores
from usrn_keras.report.cluster_report import ClusterReport
from usrn_keras.report.comparison import RARE
from usrn_keras.report.pictures import PredictedImage


@dataclass(eq=False)
class RunStory:
    """What is known of a run. Whatever is empty or None is missing, and `missing` may say why.

    Args:
        name: Of the run.
        classes: C names.
        palette: `(C, 3)` uint8 RGB.
        facts: What the run is: names and values.
        recipe: Its recipe as text.
        scores: Of its models, what the others are held against first.
        metrics: Records of each training stage, by its name.
        diagnosis: Records of the diagnosis of pseudo labels.
        gate: What the gate does: `fallback`, `stop`, `off` or `closed`; `unused` without pseudo labels of F.
        clusters: Its subclasses.
        fixed: Images spread over the list.
        worst: Images that went worst.
        missing: Why something is not there: a sentence for `scores`, `diagnosis`, `clusters`, `pictures` or
            `worst`.
    """

    name: str
    classes: tuple[str, ...]
    palette: np.ndarray
    facts: list[tuple[str, str]] = field(default_factory=list)
    recipe: str = ""
    scores: list[Scores] = field(default_factory=list)
    metrics: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    diagnosis: list[dict[str, Any]] = field(default_factory=list)
    gate: str = "fallback"
    clusters: ClusterReport | None = None
    fixed: list[PredictedImage] = field(default_factory=list)
    worst: list[PredictedImage] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def rare(self) -> np.ndarray:
        """`(C,)` bool, the rare classes of the images that were measured; none where nothing was."""
        return self.scores[0].rare if self.scores else np.zeros(len(self.classes), bool)

    def marked(self, class_id: int) -> str:
        """The name of a class, with an asterisk where it is rare."""
        return self.classes[class_id] + (f" {RARE}" if self.rare[class_id] else "")
