"""The contract of a method: networks, batches, loss parts and stages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import keras
from keras import ops

from usrn_keras import backends
from usrn_keras.backends.steps import sum_of_terms
from usrn_keras.data.batch_spec import BatchSpec
from usrn_keras.losses import cross_entropy
from usrn_keras.methods.loss_part import Batch, Context, LossPart, Tensor
from usrn_keras.networks import Branch, upsample
from usrn_keras.networks.native_export import write_native
from usrn_keras.networks.two_branch import ForwardPass, Network
from usrn_keras.recipe.method_options import MethodOptions
from usrn_keras.recipe.schema import Recipe
from usrn_keras.recipe.stage_plan import Cluster, Stage, Train


class Method(keras.Model):
    """Base of all methods, a `keras.Model` with its own `train_step`.

    A subclass defines its name, its batches and the parts of its objective. Other modules use only this
    interface.

    Args:
        networks: One or several `Network`s to train, each a branch F and optionally F_sub.
        ignore_index: Label of pixels without a class.
        **kwargs: Arguments of `keras.Model`.

    A batch is a dict of images `labelled (batch, height, width, 3)`, RGB in 0..255, their `labels
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
    trains_on_parts: ClassVar[bool] = False  # whether its losses are right where processes share a batch

    def __init__(
        self, networks: Sequence[Network | Sequence[Branch]], *, ignore_index: int = 255, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.networks = [Network(*network) for network in networks]
        self.ignore_index = ignore_index
        self.upsample = upsample(4)
        self.has_metrics = False
        self.term_means: list[keras.metrics.Mean] = []
        self.built = True

    # ---- methods to override

    def loss_parts(self) -> list[LossPart]:
        """Return the parts of the objective, in the order of computation."""
        raise NotImplementedError(f"{type(self).__name__} must define `loss_parts`")

    def pseudo_labels(self, images: Tensor) -> dict[str, Tensor] | None:
        """Compute the pseudo labels for images; None for a method without pseudo labels.

        Args:
            images: RGB images in 0..255, shape `(batch, height, width, 3)`.

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

    # ---- training step and Keras interface

    def train_step(self, *arguments: Any) -> Any:
        """Run one training step: gradients of all parts, then one optimizer update, on the current backend.

        Args:
            *arguments: `(data)` on TensorFlow and PyTorch, `(state, data)` on JAX, as Keras passes them.
        """
        return backends.train_step(self, *arguments)

    def compile(self, *args: Any, metrics: Any = None, **kwargs: Any) -> None:
        super().compile(*args, metrics=metrics, **kwargs)
        self.has_metrics = bool(metrics)
        if not self.term_means:
            names = dict.fromkeys(name for part in self.loss_parts() for name in part.reports)
            self.term_means = [keras.metrics.Mean(name=name) for name in names]

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile a method loaded from a file, and build its optimizer, so that its state can be loaded."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def call(self, images: Any, training: bool | None = None) -> Tensor:
        """Compute logits at full size, float32 of shape `(batch, height, width, classes)`.

        Args:
            images: RGB images in 0..255, shape `(batch, height, width, 3)`, or a training batch, whose
                labelled images are used.
            training: Whether batch normalisation uses the statistics of the batch, and dropout is active.
        """
        images = images["labelled"] if isinstance(images, dict) else images
        return self.upsample(self.inference_network(images, training=training))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Compute the cross entropy of F over labelled pixels, the loss of `evaluate`."""
        labels = ops.cast(_labels(x, y), "int32")
        return cross_entropy(y_pred, labels, labels != self.ignore_index)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Tensor]:
        results = super().compute_metrics(x, _labels(x, y), y_pred, sample_weight)
        means = {mean.name for mean in self.term_means}  # of training alone
        return {name: value for name, value in results.items() if name not in means}

    def step_logs(self, batch: Batch, terms: dict[str, Tensor], context: Context) -> dict[str, Tensor]:
        """Update and return the epoch means of the objective's terms and of the compiled metrics.

        Args:
            batch: Batch of the step.
            terms: Terms of all parts.
            context: Context returned by the parts; contains F's `labelled_logits` if metrics are compiled.
        """
        for mean in self.metrics:
            if mean.name in terms and isinstance(mean, keras.metrics.Mean):
                mean.update_state(terms[mean.name])
        if self.has_metrics:
            logits = self.upsample(context["labelled_logits"])
            super().compute_metrics(batch, batch["labels"], logits)
        return self.get_metrics_result()

    def batch_of(self, data: Any) -> Batch:
        """Convert the data of a step to a dict; `(images, labels)` pairs are labelled images.

        `progress` may have the shape `(1,)`.

        Args:
            data: Data that Keras passes to `train_step`.

        Raises:
            ValueError: If keys of the batch are missing.
        """
        if isinstance(data, (tuple, list)):
            data = data[0] if len(data) == 1 or data[1] is None else {"labelled": data[0], "labels": data[1]}
        needed = self.batch_keys
        if not isinstance(data, dict) or (missing := [name for name in needed if name not in data]):
            lacks = ", ".join(missing) if isinstance(data, dict) else f"all keys, received {type(data)}"
            raise ValueError(
                f"a batch of `{type(self).__name__}` must be a dict of {', '.join(needed)}; missing: {lacks}"
            )
        if "progress" in data:  # `fit` of Keras takes no scalars
            return data | {"progress": ops.reshape(data["progress"], ())}
        return data

    @property
    def batch_keys(self) -> list[str]:
        """Required keys of a batch."""
        return self.inputs.keys

    def labelled_context(self, logits: Tensor) -> Context:
        """Return the context of a part with labelled images: F's logits if metrics are compiled.

        Args:
            logits: Logits of F for the labelled images.
        """
        return {"labelled_logits": logits} if self.has_metrics else {}

    # ---- interface for other modules

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
        return sum(len(batch[name]) for name in names if name in batch)

    def slow_variables(self) -> list[keras.Variable]:
        """Return the variables of the backbones, which have a lower learning rate."""
        branches = [branch for network in self.networks for branch in network.branches.values()]
        return [variable for branch in branches for variable in branch.backbone_variables()]

    def wrap_optimizer(self, optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
        """Return the optimizer of the method; override it to return a `GroupedOptimizer`.

        Args:
            optimizer: Optimizer of the recipe, not built yet.
        """
        return optimizer

    def export(self, filepath: Any, format: str | None = None, **kwargs: Any) -> None:
        """Export the inference network for deployment: images to logits at full size.

        Args:
            filepath: Path of the exported file or folder.
            format: Format of `keras.Model.export`; None selects the native format of the backend: `.pt2` on
                PyTorch and SavedModel on TensorFlow and JAX, with free batch, height and width (multiples of
                32).
            **kwargs: Arguments of `keras.Model.export`, with a `format` alone.

        Raises:
            ValueError: There are other arguments without a `format`.
        """
        segmenter = self.inference_network.segmenter()
        if format is not None:
            segmenter.export(filepath, format=format, **kwargs)
        elif kwargs:
            raise ValueError(f"`{'`, `'.join(kwargs)}` need a `format`, such as format='onnx'; received None")
        else:
            write_native(segmenter, Path(filepath))

    # ---- saving

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        networks = [
            {
                "branches": [serialize(branch) for branch in network.branches.values()],
                "shared": network.shared_parts,
            }
            for network in self.networks
        ]
        return super().get_config() | {"networks": networks, "ignore_index": self.ignore_index}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Method:
        config = dict(config)
        networks = [
            Network.from_branches(
                [keras.saving.deserialize_keras_object(branch) for branch in network["branches"]],
                network["shared"],
            )
            for network in config.pop("networks")
        ]
        return cls._restored(networks, config)

    @classmethod
    def _restored(cls, networks: Sequence[Network], config: dict[str, Any]) -> Method:
        """Create the method from its networks and the rest of its config.

        Override it in a subclass with other arguments.
        """
        return cls(networks, **config)


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


def _labels(x: Any, y: Any) -> Any:
    return x["labels"] if y is None and isinstance(x, dict) else y
