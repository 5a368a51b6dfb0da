"""DARS: rounds of pseudo masks whose classes are as frequent as in the labelled images."""

from __future__ import annotations

from dataclasses import replace

import keras

from usrn_keras.methods.base import baseline_stage
from usrn_keras.methods.offline_method import OfflineMethod
from usrn_keras.recipe.method_options import DARSOptions
from usrn_keras.recipe.schema import Recipe
from usrn_keras.recipe.stage_plan import Cluster, Label, Stage

TEACHER = "teacher"


@keras.saving.register_keras_serializable(package="usrn_keras")
class DARS(OfflineMethod):
    """Distribution alignment and random sampling (ICCV 2021, arXiv 2107.11279).

    In each round the network labels all unlabelled images, and keeps the pixels of class j whose confidence
    is at least t_j, the confidence of rank n_j among the pixels predicted as j:

        n_j = ratio * (share of class j among the labelled pixels) * (number of unlabelled pixels)
        s_j = min(1, n_j / number of pixels of class j that reach t_j)

    In every image a random part `1 - s_j` of them is dropped. Then the training continues, with its
    optimizer, on the labelled images and the pseudo masks: a round ends at step `T_baseline + r * T`, and the
    poly schedule is stretched to this step.

    With USRN on top, a teacher with F_sub is trained on the labelled images after the subclasses are built;
    its training takes the place of the Baseline's. The labelling pass predicts with F and F_sub, quotas are
    counted on the corrected labels, and each subclass has an equal quota of pseudo sublabels.

    Unlike the official code, probabilities are averaged over windows and flips, and not logits; the quotas
    count the pixels of the images, and not 500 x 375 for each; a class that is never predicted keeps nothing
    and is named, where the official code raises an IndexError.

    Args:
        networks: The network.
        pseudo: Whether there are pseudo masks.
        **kwargs: Arguments of `OfflineMethod`: `ignore_index` and `second_head`.

    A batch is a dict as described in `OfflineMethod`.

    Example:

    >>> import numpy as np
    >>> from usrn_keras.methods import Network
    >>> from usrn_keras.networks import build_branches
    >>> branch, _ = build_branches("keras/mobilenet", classes=3, weights="none", width=0.25)
    >>> images, labels = np.zeros((2, 64, 64, 3), "uint8"), np.zeros((2, 64, 64), "int32")
    >>> batch = {"labelled": images, "labels": labels, "pseudo": images, "pseudo_labels": labels}
    >>> sorted(DARS([Network(branch)]).loss_terms(batch))
    ['loss', 'pseudo', 'supervised']
    """

    method_name = "dars"
    title = "DARS"
    Options = DARSOptions

    @classmethod
    def stages(cls, recipe: Recipe) -> list[Stage]:
        baseline = baseline_stage(recipe)
        stages, first = [baseline], baseline
        if recipe.training.with_usrn:
            start = baseline.name if recipe.training.start == "baseline" else ""
            first = replace(
                baseline, name=TEACHER, title="Teacher with F_sub", method=recipe.training.method, start=start
            )
            stages += [Cluster(model=baseline.name), first]
        labels = [
            Label(f"labels_{number}", "", "quotas", amount=ratio)
            for number, ratio in enumerate(recipe.options.ratios, start=1)
        ]
        return [*stages, *cls.rounds(recipe, first, labels, continues=True)]
