"""DSBN: pseudo masks on a strong view, with batch norms of its own and a loss that corrects noisy labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.losses.self_correction import self_correction, validate_weights
from usrn_keras.methods.base import baseline_stage
from usrn_keras.methods.host_method import Logits
from usrn_keras.methods.loss_part import Batch, Context, LossPart, Tensor, pseudo_images
from usrn_keras.methods.offline_method import OfflineMethod
from usrn_keras.networks.copies import with_own_batch_norm
from usrn_keras.networks.two_branch import ForwardPass, Network
from usrn_keras.recipe.method_options import DSBNOptions
from usrn_keras.recipe.schema import Recipe
from usrn_keras.recipe.stage_plan import Label, Stage


@keras.saving.register_keras_serializable(package="usrn_keras")
class DSBN(OfflineMethod):
    """Simple baseline with distribution-specific batch norms (ICCV 2021, arXiv 2104.07256).

    The Baseline labels every pixel of the unlabelled images once. Then a network is trained on the labelled
    images and on a strong view of the unlabelled ones:

        L = CE(F(x_l), y) + mean[ (1 - w) * ce(F'(x_s), y') + w * 9.2103 * (1 - p_y') ]

    with the labels y' of the Baseline, p = softmax(F'(x_s)), and w = max p, or 1 where it is above 0.8,
    without gradient: see `usrn_keras.losses.self_correction`. F' shares every layer with F but its batch
    norms, so the statistics of strong views do not reach F, which is used at inference.

    Unlike the official code, the strong view is that of the recipe in place of RandAugment; padding has no
    loss, where the official code has no ignored labels; and each pixel has its own weight w, where the
    official code averages w over the images of the batch by an axis left in place (`weights = "official"`).
    Each stream is a batch of its own in both.

    Args:
        networks: The network; F' is made here.
        weights: Weight w of a pixel: its `own`, or the mean over the images of the batch (`official`).
        **kwargs: Arguments of `OfflineMethod`: `pseudo` and `ignore_index`.

    A batch is a dict as described in `OfflineMethod`, whose `pseudo_parameters` are those of a strong view.

    Raises:
        ValueError: There is not one network, it has an F_sub, or `weights` is unknown.
    """

    method_name = "dsbn"
    title = "DSBN"
    Options = DSBNOptions

    def __init__(self, networks: Sequence[Network], *, weights: str = "own", **kwargs: Any):
        validate_weights(weights)
        if len(networks) != 1:
            raise ValueError(f"`networks` must be one network, received {len(networks)}")
        branch = Network(*networks[0]).F
        super().__init__([*networks, Network(with_own_batch_norm(branch))], **kwargs)
        self.weights_of_pixels = weights

    @classmethod
    def from_recipe(cls, options: DSBNOptions, build: Any) -> DSBN:
        return cls(build.networks(), pseudo=build.pseudo, weights=options.weights, **build.arguments)

    @classmethod
    def stages(cls, recipe: Recipe) -> list[Stage]:
        baseline = baseline_stage(recipe)
        return [baseline, *cls.rounds(recipe, baseline, [Label("labels", "", "all")], continues=False)]

    @property
    def inputs(self) -> BatchSpec:
        return BatchSpec(pseudo=self.pseudo, strong=int(self.pseudo))

    @property
    def forward_passes(self) -> tuple[ForwardPass, ...]:
        labelled, *pseudo = super().forward_passes
        return (labelled, *(one._replace(network=1) for one in pseudo))

    def loss_parts(self) -> list[LossPart]:
        labelled, *pseudo = super().loss_parts()
        trains = self.networks[1].trainable_variables
        return [labelled, *(LossPart(one.name, one.compute, trains, one.reports) for one in pseudo)]

    def pseudo_masks(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        return self.pseudo_terms(self.networks[1].logits(pseudo_images(batch)), batch), {}

    def pseudo_terms(self, logits: Logits, batch: Batch) -> dict[str, Tensor]:
        labels = batch["pseudo_labels"]
        loss = self_correction(logits["F"], labels, labels != self.ignore_index, self.weights_of_pixels)
        return {"loss": loss, "pseudo": loss}

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        # F' is made of F again.
        return config | {"networks": config["networks"][:1], "weights": self.weights_of_pixels}
