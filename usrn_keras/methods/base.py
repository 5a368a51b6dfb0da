"""The contract of a method: networks, batches, loss parts and stages."""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from usrn_keras.backends.steps import sum_of_terms
from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.methods.keras_method import KerasMethod
from usrn_keras.methods.loss_part import Batch, LossPart, Tensor
from usrn_keras.networks import Branch
from usrn_keras.networks.two_branch import ForwardPass
from usrn_keras.recipe.method_options import MethodOptions
from usrn_keras.recipe.schema import Recipe
from usrn_keras.recipe.stage_plan import Cluster, Stage, Train


class Method(KerasMethod):
    """Base of all methods, a `keras.Model` with its own `train_step`; `KerasMethod` has its Keras side.

    A subclass defines its name, its batches and the parts of its objective. Other modules use only this
    interface.

    Args:
        networks: One or several `Network`s to train, each a branch F and optionally F_sub.
        ignore_index: Label of pixels without a class.
        **kwargs: Arguments of `keras.Model`.

    A batch is a dict of images `labelled (batch, height, width, bands)` in 0..255, their `labels
    (batch, height, width)` int, and what `inputs` names.

    Example: a method of your own is a subclass with a name and its parts.

    >>> class HalfSupervised(Method):
    ...     method_name = title = "half_supervised"
    ...
    ...     def loss_parts(self):
    ...         return [LossPart("labelled", self.half, self.networks[0].trainable_variables)]
    ...
    ...     def half(self, batch, context):
    ...         logits = self.networks[0].logits(labelled_images(batch))["F"]
    ...         labels = batch["labels"]
    ...         return {"loss": 0.5 * cross_entropy(logits, labels, labels != self.ignore_index)}, {}
    """

    method_name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    Options: ClassVar[type[MethodOptions] | None] = None
    inputs: BatchSpec = BatchSpec()
    needs_subclasses: ClassVar[bool] = False
    makes_pseudo_labels: ClassVar[bool] = False
    takes_features: ClassVar[bool] = False  # whether it trains on the features of a frozen backbone
    trains_on_parts: ClassVar[bool] = False  # whether its losses are right where processes share a batch

    # ---- methods to override

    def loss_parts(self) -> list[LossPart]:
        """Return the parts of the objective, in the order of computation."""
        raise NotImplementedError(f"{type(self).__name__} must define `loss_parts`")

    def pseudo_labels(self, images: Tensor) -> dict[str, Tensor] | None:
        """Compute the pseudo labels for images; None for a method without pseudo labels.

        Args:
            images: Images in 0..255, shape `(batch, height, width, bands)`.

        Returns:
            Tensors `(batch, rows, columns)` at stride 8: `labels` and `confidence`; `own_labels` and
            `own_confidence` of F alone; and where there is an F_sub its `sub_labels` (classes),
            `sub_confidence`, `open` (the gate), and the normalised `entropy` and `sub_entropy`.
        """
        return None

    @property
    def threshold(self) -> float:
        """Confidence that a pseudo label must exceed; 0 for a method without a threshold."""
        return 0.0

    @property
    def sub_threshold(self) -> float:
        """Confidence that a pseudo label of F_sub must exceed."""
        return self.threshold

    @property
    def inference_network(self) -> Branch:
        """The branch that is evaluated, saved and exported."""
        return self.networks[0].F

    @property
    def forward_passes(self) -> tuple[ForwardPass, ...]:
        """Forward passes of one training step, used to count operations."""
        return (ForwardPass("labelled", "labelled", ("F",)),)

    def other_flops(
        self, batch_labelled: int, batch_unlabelled: int, height: int, width: int
    ) -> dict[str, int]:
        """Count the operations of a training step beside its forward passes; override it if there are many.

        Args:
            batch_labelled: Number of labelled images in a batch.
            batch_unlabelled: Number of unlabelled images in a batch.
            height: Height of a crop in pixels.
            width: Width of a crop in pixels.

        Returns:
            Number of operations by name, two for each multiply-add, backward passes included.
        """
        return {}

    @classmethod
    def stages(cls, recipe: Recipe) -> list[Stage]:
        """Return the stages of a run: the Baseline, clustering if needed, and the method.

        Args:
            recipe: The recipe of the run.
        """
        baseline, with_usrn = baseline_stage(recipe), recipe.training.with_usrn
        return [
            baseline,
            *([Cluster(model=baseline.name)] if cls.needs_subclasses or with_usrn else []),
            Train(
                name=cls.method_name,
                title=f"{cls.title} + USRN" if with_usrn else cls.title,
                method=recipe.training.method,
                steps=recipe.training.usrn_steps,
                steps_key="training.usrn_steps",
                learning_rate=recipe.training.usrn_learning_rate or recipe.training.learning_rate,
                start=baseline.name if recipe.training.start == "baseline" else "",
            ),
        ]

    @classmethod
    def from_recipe(cls, options: MethodOptions | None, build: Any) -> Method:
        """Build the method of a recipe.

        Args:
            options: Options of the method.
            build: Builder of the parts: `build.networks(with_sub=..., count=...)`, `build.subclasses`,
                `build.ignore_index`, `build.pseudo` (whether the stage has pseudo masks), and
                `build.arguments` that all methods have.
        """
        keys = options.arguments() if options is not None else {}
        return cls(build.networks(), **build.arguments, **keys)

    def start_from(self, start: Any) -> None:
        """Start from a trained network: `training.start = "baseline"`.

        Args:
            start: Trained Baseline: `start.branch` is F, and `start.centroid_classifier()` returns the
                weights of a classifier at the cluster centers.
        """
        for network in self.networks:
            network.copy_weights(start.branch)

    # ---- interface for other modules

    @property
    def batch_keys(self) -> list[str]:
        """Required keys of a batch."""
        return self.inputs.keys

    def loss_terms(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the terms of the objective for a batch, float32 scalars.

        Args:
            batch: Batch as described in the class docstring.
        """
        terms, context = [], {}
        for part in self.loss_parts():
            found, left = part.compute(batch, context)
            terms.append(found)
            context = context | {name: ops.stop_gradient(value) for name, value in left.items()}
        return sum_of_terms(terms)

    def images_per_step(self, batch: Batch) -> int:
        """Return the number of images in a training batch."""
        names = ("labelled", "pseudo" if self.inputs.pseudo else "weak")
        found = (batch.get(name, batch.get(f"{name}_low", ())) for name in names)
        return sum(map(len, found))

    def slow_variables(self) -> list[keras.Variable]:
        """Return the variables of the backbones, which have a lower learning rate."""
        branches = [branch for network in self.networks for branch in network.branches.values()]
        return [variable for branch in branches for variable in branch.backbone_variables()]

    def backbone_groups(self) -> list[list[keras.Variable]]:
        """Return the variables of the backbones by depth, the deepest group first, for `layer_decay`."""
        branches = [branch for network in self.networks for branch in network.branches.values()]
        groups = zip(*(branch.backbone_groups() for branch in branches), strict=True)
        return [[variable for part in group for variable in part] for group in groups]

    def wrap_optimizer(self, optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
        """Return the optimizer of the method; override it to return a `GroupedOptimizer`.

        Args:
            optimizer: Optimizer of the recipe, not built yet.
        """
        return optimizer


def baseline_stage(recipe: Recipe) -> Train:
    """The first stage of every method: F trained on the labelled images alone.

    Args:
        recipe: The recipe of the run.
    """
    training = recipe.training
    return Train(
        name="baseline",
        title="Baseline",
        method="supervised",
        steps=training.baseline_steps,
        steps_key="training.baseline_steps",
        learning_rate=training.learning_rate,
    )
