"""CReST for segmentation: generations that add more pseudo labels of rare classes than of frequent ones."""

from __future__ import annotations

import keras

from usrn_keras.methods.base import baseline_stage
from usrn_keras.methods.offline_method import OfflineMethod
from usrn_keras.recipe.method_options import CReSTOptions
from usrn_keras.recipe.schema import Recipe
from usrn_keras.recipe.stage_plan import Label, Stage


@keras.saving.register_keras_serializable(package="usrn_keras")
class CReST(OfflineMethod):
    """Class-rebalancing self-training (CVPR 2021, arXiv 2102.09559), with pixels in place of images.

    CReST classifies images; this version for segmentation is ours. In each generation the model of the
    generation before labels all unlabelled images. With the classes by their frequency in the labelled
    pixels, N_1 >= ... >= N_L, the most confident pixels of each class are kept:

        share of the pixels predicted as the class of rank l = (N_{L+1-l} / N_1)^(1 / alpha)

    so all pixels of the rarest class and few of the most frequent one. Then a network is trained from the
    start on the labelled images and the pseudo masks.

    With `alignment` (CReST+), the predictions are aligned before pixels are selected, by the mean prediction
    over all unlabelled pixels, which takes a second prediction of each image:

        q = p * target / mean p,   target = share^t / sum share^t,   t = 1 - (1 - temperature) * g / G

    in generation g of G.

    Unlike the official code: pixels, not images; the classes are sorted by frequency, which the official code
    expects of their ids; alignment is applied when the images are labelled, and not in FixMatch training,
    with the mean over all images in place of a window; a random part of pixels of equal confidence is dropped
    where they exceed the share.

    Args:
        networks: The network.
        pseudo: Whether there are pseudo masks.
        **kwargs: Arguments of `OfflineMethod`.

    A batch is a dict as described in `OfflineMethod`.
    """

    method_name = "crest"
    title = "CReST (pixels)"
    Options = CReSTOptions

    @classmethod
    def stages(cls, recipe: Recipe) -> list[Stage]:
        baseline, options = baseline_stage(recipe), recipe.options
        labels = [
            Label(
                f"labels_{number}", "", "rates", amount=1 / options.alpha,
                temperature=options.temperature_of(number) if options.alignment else None,
            )
            for number in range(1, options.generations + 1)
        ]  # fmt: skip
        return [baseline, *cls.rounds(recipe, baseline, labels, continues=False)]
