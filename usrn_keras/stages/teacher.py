"""The teacher of a labelling stage: predicts labels and confidences of whole images."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from usrn_keras.data import Dataset
from usrn_keras.errors import DivergedError
from usrn_keras.evaluation import Predictor, inference_of
from usrn_keras.methods.second_head import SecondHead
from usrn_keras.pseudo_masks.corrected_labels import gated, most_likely
from usrn_keras.pseudo_masks.score_files import ScoredImage
from usrn_keras.runs import Run
from usrn_keras.stages.train import trained_method


class Teacher:
    """A trained model that predicts as `[evaluation]` of the recipe says: whole or in windows, mirrored.

    With an F_sub, its labels are those of F that F_sub corrects (USRN).

    Args:
        run: The run.
        model: Name of the model, whose last weights are used.
        dataset: The data set.
    """

    def __init__(self, run: Run, model: str, dataset: Dataset):
        method = trained_method(run, model, dataset)
        options, batch = inference_of(run.recipe), run.recipe.evaluation.batch
        self.second_head: SecondHead | None = getattr(method, "second_head", None)
        branches = [method.inference_network]
        if self.second_head is not None:
            branches.append(method.networks[0].F_sub)
        self._segmenters = [branch.segmenter() for branch in branches]
        self._predictors = [Predictor(segmenter, options, batch=batch) for segmenter in self._segmenters]
        self._options, self.name = options, model

    @property
    def subclasses(self) -> int:
        """Number of subclasses; 0 without F_sub."""
        return 0 if self.second_head is None else len(self.second_head.parents)

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """Class probabilities of F, `(height, width, C)` float32."""
        return self._predictors[0].probabilities(image)

    def label(
        self,
        image: np.ndarray,
        correct: Callable[[np.ndarray], np.ndarray] = lambda probabilities: probabilities,
    ) -> ScoredImage:
        """Predict the labels and confidences of an image.

        Args:
            image: Image `(height, width, bands)` uint8.
            correct: Function of the class probabilities of F that is applied first.

        Raises:
            DivergedError: A probability is not finite.
        """
        probabilities = correct(self.probabilities(image))
        if not np.isfinite(probabilities).all():
            raise DivergedError(
                f"the predictions of {self.name} are not finite",
                hint="Its training diverged: lower training.learning_rate and start a new run.",
            )
        if self.second_head is None:
            labels, confidence = most_likely(probabilities)
            return ScoredImage(labels.astype(np.uint8), confidence)
        sub = self._predictors[1].probabilities(image)
        head = self.second_head
        labels, confidence = gated(
            probabilities, sub, head.parents, gate=head.gate, on_disagreement=head.on_disagreement
        )
        sublabels, sub_confidence = most_likely(sub)
        return ScoredImage(labels.astype(np.uint8), confidence, sublabels.astype(np.uint16), sub_confidence)

    def describe(self) -> dict[str, Any]:
        """Everything that the labels depend on, as JSON values: a hash of the weights, and the options."""
        digest = hashlib.sha256()
        for segmenter in self._segmenters:
            for weight in segmenter.get_weights():
                digest.update(np.ascontiguousarray(weight))
        head = None if self.second_head is None else self.second_head.get_config()
        options = asdict(self._options) | {"scales": list(self._options.scales)}
        return {"weights": digest.hexdigest(), "inference": options, "second_head": head}
