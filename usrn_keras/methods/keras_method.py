"""The Keras side of a method: compile, fit, evaluate, predict, save and export."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
from keras import ops

from usrn_keras import backends
from usrn_keras.backends.graph import all_layers
from usrn_keras.losses import cross_entropy
from usrn_keras.methods.batch_checks import BatchCheck
from usrn_keras.methods.loss_part import Batch, Context, Tensor
from usrn_keras.networks import Branch, upsample
from usrn_keras.networks.file_formats import export_network
from usrn_keras.networks.fine_tuning import restart_adapters, without_adapters
from usrn_keras.networks.two_branch import Network

_NO_WEIGHTS = (
    "`{}` takes no `sample_weight` and no `class_weight`: pixels with the label ignore_index do not count, "
    "and all others weigh the same"
)


class KerasMethod(keras.Model):
    """A `keras.Model` with its own `train_step` and `test_step`; `Method` adds what it computes.

    `fit` logs the mean of the loss and of its terms over the epoch, and the compiled metrics of F on the
    labelled images. `evaluate` and `validation_data` give the cross entropy of F and the same metrics.

    Args:
        networks: One or several `Network`s to train, each a branch F and optionally F_sub.
        ignore_index: Label of pixels without a class.
        **kwargs: Arguments of `keras.Model`.
    """

    def __init__(
        self, networks: Sequence[Network | Sequence[Branch]], *, ignore_index: int = 255, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.networks = [Network(*network) for network in networks]
        self.ignore_index = ignore_index
        self.upsample = upsample(4)
        self.has_metrics = False
        self.term_means: list[keras.metrics.Mean] = []
        self.built = True  # the networks are

    # ---- steps

    def compile(
        self, optimizer: Any = "rmsprop", loss: Any = None, *, metrics: Any = None, **kwargs: Any
    ) -> None:
        """Configure training, as `keras.Model.compile`; the objective is that of the method.

        Args:
            optimizer: Optimizer or its name.
            loss: Must be None.
            metrics: Metrics of labels `(batch, height, width)` and logits `(batch, height, width, classes)`,
                such as `usrn_keras.SegmentationIoU`.
            **kwargs: Further arguments of `keras.Model.compile`. On PyTorch `jit_compile=True` compiles a
                step for minutes; the default compiles nothing there.

        Raises:
            ValueError: A loss is given, or a layer computes in float16.
        """
        if loss is not None or kwargs.get("loss_weights") is not None:
            raise ValueError(
                "`loss` and `loss_weights` must be None: a method has its own objective, whose weights are "
                f"its arguments; received loss={loss!r}, loss_weights={kwargs.get('loss_weights')!r}"
            )
        self._validate_precision()
        super().compile(optimizer, metrics=metrics, **kwargs)
        self.has_metrics = bool(metrics)
        if not self.term_means:
            names = dict.fromkeys(name for part in self.loss_parts() for name in part.reports)
            self.term_means = [keras.metrics.Mean(name=name) for name in names]

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile a method loaded from a file, and build its optimizer, so that its state can be loaded."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x: Any = None, y: Any = None, **kwargs: Any) -> keras.callbacks.History:
        """Train, as `keras.Model.fit`, after the class ids of arrays in memory are checked.

        Args:
            x: Training batches as the class docstring describes them: a dict of arrays, a `tf.data.Dataset`,
                `keras.utils.PyDataset` or PyTorch `DataLoader` of such dicts, or a generator of tuples
                `(dict,)`. Or images `(n, height, width, bands)` for a method that needs only labelled images.
            y: Labels `(n, height, width)` if `x` is an array of images.
            **kwargs: Further arguments of `keras.Model.fit`; `validation_data` is `(images, labels)`,
                `(dict,)`, or a data set as `x`.

        Raises:
            ValueError: A batch does not fit the method; the message lists every error.
        """
        self._validate_data(self._train_check, x, y, kwargs)
        restart_adapters(branch for network in self.networks for branch in network.branches.values())
        return super().fit(x, y, **kwargs)

    def train_step(self, *arguments: Any) -> Any:
        """Run one training step: gradients of all parts, then one optimizer update, on the current backend.

        Args:
            *arguments: `(data)` on TensorFlow and PyTorch, `(state, data)` on JAX, as Keras passes them.
        """
        return backends.train_step(self, *arguments)

    def evaluate(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """Compute the cross entropy of F and the compiled metrics, as `keras.Model.evaluate`.

        Args:
            x: Images `(n, height, width, bands)`, or batches as in `fit`; `labelled` and `labels` are used.
            y: Labels `(n, height, width)` if `x` is an array of images.
            **kwargs: Further arguments of `keras.Model.evaluate`.

        Raises:
            ValueError: A batch does not fit the method; the message lists every error.
        """
        self._validate_data(self._test_check, x, y, kwargs)
        return super().evaluate(x, y, **kwargs)

    def test_step(self, *arguments: Any) -> Any:
        """Run one step of `evaluate` or of `validation_data`.

        Args:
            *arguments: `(data)` on TensorFlow and PyTorch, `(state, data)` on JAX, as Keras passes them.
        """
        *state, data = arguments
        batch = _as_dict(data, type(self).__name__)
        self._test_check.validate(batch)
        return super().test_step(*state, (batch["labelled"], batch["labels"]))

    def call(self, images: Any, training: bool | None = None) -> Tensor:
        """Compute logits at full size, float32 of shape `(batch, height, width, classes)`.

        Args:
            images: Images in 0..255, shape `(batch, height, width, bands)`, or a training batch, whose
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
        """Update the metrics of `evaluate`, and return them without the terms of the training objective."""
        results = super().compute_metrics(x, _labels(x, y), y_pred, sample_weight)
        means = {mean.name for mean in self.term_means}
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

    def labelled_context(self, logits: Tensor) -> Context:
        """Return the context of a part with labelled images: F's logits if metrics are compiled.

        Args:
            logits: Logits of F for the labelled images.
        """
        return {"labelled_logits": logits} if self.has_metrics else {}

    # ---- checks

    def batch_of(self, data: Any) -> Batch:
        """Convert the data of a step to a dict; `(images, labels)` pairs are labelled images.

        `progress` may have the shape `(1,)`.

        Args:
            data: Data that Keras passes to `train_step`.

        Raises:
            ValueError: The batch does not fit the method; the message lists every error.
        """
        batch = _as_dict(data, type(self).__name__)
        self._train_check.validate(batch)
        if "progress" in batch:  # `fit` of Keras takes no scalars
            return batch | {"progress": ops.reshape(batch["progress"], ())}
        return batch

    @cached_property
    def _train_check(self) -> BatchCheck:
        return self._check(self.batch_keys)

    @cached_property
    def _test_check(self) -> BatchCheck:
        return self._check(("labelled", "labels"))

    def _check(self, keys: Iterable[str]) -> BatchCheck:
        subs = [network.F_sub for network in self.networks if network.F_sub is not None]
        classes = self.inference_network.classifier.output_shape[-1]
        subclasses = subs[0].classifier.output_shape[-1] if subs else None
        bands = self.inference_network.bands
        return BatchCheck(type(self).__name__, tuple(keys), classes, subclasses, self.ignore_index, bands)

    def _validate_data(self, check: BatchCheck, x: Any, y: Any, options: Mapping[str, Any]) -> None:
        """Check data in memory before the first step: arrays, or the first batch of a `PyDataset`.

        On JAX an error within a step would leave the model without its variables (Keras 3.15).
        """
        if options.get("sample_weight") is not None or options.get("class_weight") is not None:
            raise ValueError(_NO_WEIGHTS.format(type(self).__name__))
        if isinstance(x, keras.utils.PyDataset) and len(x):
            x = x[0]
        if isinstance(x, (tuple, list)) or y is not None:
            x = _as_dict(x if y is None else (x, y), type(self).__name__)
        if isinstance(x, Mapping) and all(hasattr(value, "dtype") for value in x.values()):
            check.validate(x)
            check.validate_ids(x)

    def _validate_precision(self) -> None:
        policies = {layer.compute_dtype for layer in all_layers(self) if layer is not self}
        if "float16" in policies | {self.compute_dtype}:
            raise ValueError(
                "methods do not compute in float16, whose range is too small for the gradients without loss "
                'scaling; use keras.config.set_dtype_policy("mixed_bfloat16") or "float32" before the '
                "networks are built"
            )

    # ---- files

    def export(self, filepath: Any, format: str | None = None, **kwargs: Any) -> None:
        """Export the inference network for deployment: images to logits at full size.

        Args:
            filepath: Path of the exported file or folder.
            format: Format of `keras.Model.export`; None selects the native format of the backend: `torch`
                (`.pt2`) on PyTorch and `tf_saved_model` on TensorFlow and JAX. Batch, height and width
                (multiples of 32) are free.
            **kwargs: Arguments of `keras.Model.export`, such as `input_signature`, with a `format` alone;
                then Keras' own exporter writes the file.

        Raises:
            ValueError: There are other arguments without a `format`.
            BackendError: The backend cannot write the format, or a package is missing.
        """
        if format is None and kwargs:
            raise ValueError(f"`{'`, `'.join(kwargs)}` need a `format`, such as format='onnx'; received None")
        model = without_adapters(self.inference_network.segmenter())
        export_network(model, Path(filepath), format, **kwargs)

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
    def from_config(cls, config: dict[str, Any]) -> KerasMethod:
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
    def _restored(cls, networks: Sequence[Network], config: dict[str, Any]) -> KerasMethod:
        """Create the method from its networks and the rest of its config.

        Override it in a subclass with other arguments.
        """
        return cls(networks, **config)


def _as_dict(data: Any, method: str) -> Any:
    """Convert `(images, labels)` or `(dict,)` to a dict; sample weights, which no method has, are refused."""
    if not isinstance(data, (tuple, list)):
        return data
    if len(data) > 2 and data[2] is not None:
        raise ValueError(_NO_WEIGHTS.format(method))
    alone = len(data) == 1 or data[1] is None
    return data[0] if alone else {"labelled": data[0], "labels": data[1]}


def _labels(x: Any, y: Any) -> Any:
    return x["labels"] if y is None and isinstance(x, dict) else y
