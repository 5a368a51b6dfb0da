"""What every method must do, in one call: train, report, evaluate, save, resume, export."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from tests.methods.handmade import CLASSES
from tests.tools import fill
from usrn_keras.backends import CompiledStep, compile_forward
from usrn_keras.methods import Method, Network
from usrn_keras.optimizers import SGD, AdamW
from usrn_keras.training import load_checkpoint, save_checkpoint

BACKEND = keras.backend.backend()
ROUNDING = 1e-6 if BACKEND == "tensorflow" else 0  # the order of TensorFlow's sums depends on its threads
UNLABELLED = 3  # images in the batch of the first step, unlike those that are labelled


class Pass(NamedTuple):
    """A pass of images that a step made; as much as can be seen of a `ForwardPass`."""

    images: int
    network: int
    heads: tuple[str, ...]
    pooled: bool
    perturbed: bool


def check_method(
    make_method: Callable[[], Method],
    make_batch: Callable[[int], dict[str, np.ndarray]],
    folder: Path,
    *,
    whole: bool = BACKEND == "torch",
) -> None:
    """Check the contract of a method on the backend at hand.

    Args:
        make_method: Makes the method, not compiled, of networks without dropout; its weights are filled here.
        make_batch: Makes the batch of a step: what `inputs` names, and `strong_parameters`. Labels are below
            `CLASSES`, or 255.
        folder: Empty folder for files.
        whole: Whether to check Keras' loop, saving and export too, which all methods share and which take
            long where programs are compiled.
    """
    method = _check_steps(make_method, make_batch, folder / "checkpoint.npz")
    images = np.float32(make_batch(9)["labelled"])
    if not whole:
        return _check_pseudo_labels(method, images)
    method = _check_fit(make_method, [make_batch(number) for number in range(3)])
    _check_saving(method, images, folder / "method.keras")
    _check_export(method, images, folder)
    _check_pseudo_labels(method, images)


def compiled(
    make_method: Callable[[], Method], optimizer: keras.optimizers.Optimizer, metrics: list | None = None
) -> Method:
    """The method with weights of a seed, compiled as the training stage compiles it."""
    method = make_method()
    fill(method.variables)
    optimizer.multiply_learning_rate(method.slow_variables(), 0.5)
    optimizer = method.wrap_optimizer(optimizer)
    optimizer.build(method.trainable_variables)
    method.compile(optimizer=optimizer, metrics=metrics, jit_compile=BACKEND != "torch")
    return method


def state(method: Method) -> list[np.ndarray]:
    """All variables of a method and its optimizer."""
    variables = [*method.variables, *method.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]


def _check_steps(make_method: Callable, make_batch: Callable, checkpoint: Path) -> Method:
    """The first step, and resuming from a checkpoint after the second; all use one compiled program."""

    def fewer_unlabelled(number: int) -> dict[str, np.ndarray]:
        batch = make_batch(number)
        cut = ("weak", "strong", "donor", "boxes", "draws", "pair", "overlap", "pseudo")
        names = [name for name in batch if name.startswith(cut)]
        return batch | {name: batch[name][:UNLABELLED] for name in names}

    method = compiled(make_method, AdamW(0.002))  # without weight decay only a gradient moves a variable
    step = CompiledStep(method)
    _check_first_step(method, step, fewer_unlabelled(0))
    _check_resuming(make_method, method, step, [fewer_unlabelled(number) for number in (1, 2)], checkpoint)
    return method


def _check_first_step(method: Method, step: CompiledStep, batch: dict[str, np.ndarray]) -> None:
    """Everything trained moves, and the passes are those that the method names."""
    counts = {
        "labelled": len(batch["labelled"]),
        "unlabelled": len(batch.get("weak", batch.get("pseudo", ()))),
    }
    counts["both"] = sum(counts.values())
    assert method.images_per_step(batch) == counts["both"]
    trained = {id(variable) for part in method.loss_parts() for variable in part.trains}
    assert trained == {id(variable) for variable in method.trainable_variables}
    before = [np.array(keras.ops.convert_to_numpy(v.value)) for v in method.trainable_variables]
    with _recorded_passes(method) as passes:
        terms = step(batch)
    assert all(np.isfinite(float(value)) for value in terms.values()) and float(terms["loss"]) > 0
    assert {name for part in method.loss_parts() for name in part.reports} <= set(terms)
    assert passes == [
        Pass(counts[one.images] * one.views, one.network, one.heads, one.pooled, one.perturbed)
        for one in method.forward_passes
    ]
    for start, variable in zip(before, method.trainable_variables, strict=True):
        assert (start != keras.ops.convert_to_numpy(variable.value)).any(), variable.path


class _recorded_passes:
    """Record the calls of `Network.features` in a block; PyTorch also shows which have a gradient."""

    def __init__(self, method: Method):
        self.method = method

    def __enter__(self) -> list[Pass]:
        passes, self.features = [], Network.features
        expected = iter(self.method.forward_passes)

        def recorded(network, images, heads=("F",), *, pooled=False, training=True, perturb=None):
            number = next(i for i, one in enumerate(self.method.networks) if one.F is network.F)
            shown = tuple(head for head in network.branches if head in heads)
            passes.append(Pass(int(images.shape[0]), number, shown, pooled, perturb is not None))
            found = self.features(network, images, heads, pooled=pooled, training=training, perturb=perturb)
            if BACKEND == "torch":
                assert any(value.requires_grad for value in found.values()) == next(expected).gradient
            return found

        Network.features = recorded
        return passes

    def __exit__(self, *error) -> None:
        Network.features = self.features


def _check_resuming(
    make_method: Callable,
    whole: Method,
    step: CompiledStep,
    batches: list[dict[str, np.ndarray]],
    checkpoint: Path,
) -> None:
    """A step, a checkpoint, one more: the same as one step after loading it.

    It is loaded into a new method, or, where a step is compiled for long, into the one that went further.
    """
    step(batches[0])
    save_checkpoint(checkpoint, whole, 2)
    step(batches[1])
    expected = state(whole)
    resumed = compiled(make_method, AdamW(0.002)) if BACKEND == "torch" else whole
    assert load_checkpoint(checkpoint, resumed)["step"] == 2
    (CompiledStep(resumed) if BACKEND == "torch" else step)(batches[1])
    for ours, theirs in zip(state(resumed), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=ROUNDING)


def _check_fit(make_method: Callable, batches: list[dict[str, np.ndarray]]) -> Method:
    """Keras' own loop, with metrics and validation, at a rate of 0: logs are means over the epoch.

    On TensorFlow this loop takes no scalars, so they are arrays of one value.
    """
    batches = [{name: np.atleast_1d(value) for name, value in batch.items()} for batch in batches]
    metric = keras.metrics.MeanIoU(CLASSES, ignore_class=255, sparse_y_pred=False, name="miou")
    method = compiled(make_method, SGD(0.0), [metric])
    images, labels = (batches[0][name] for name in ("labelled", "labels"))

    def fit(some: list[dict[str, np.ndarray]], **options) -> dict[str, list[float]]:
        arrays = ({name: np.atleast_1d(value) for name, value in batch.items()} for batch in some)
        batches = ((batch,) for batch in arrays)
        return method.fit(batches, steps_per_epoch=len(some), shuffle=False, verbose=0, **options).history

    start = [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in method.variables]
    single = [fit([batch]) for batch in batches]
    for variable, value in zip(method.variables, start, strict=True):
        variable.assign(value)  # a pass in inference mode reads the statistics that the steps have moved
    history = fit(batches, validation_data=(images, labels), validation_batch_size=2)
    reports = {name for part in method.loss_parts() for name in part.reports}
    assert set(history) == {"loss", "miou", "val_loss", "val_miou", *reports}
    for name in ("loss", *reports):
        values = [one[name][0] for one in single]
        np.testing.assert_allclose(history[name], [np.mean(values)], rtol=1e-4, atol=1e-6, err_msg=name)
    assert len({one["loss"][0] for one in single}) == len(single)
    assert 0 < history["miou"][0] < 1
    found = method.evaluate(images, labels, batch_size=2, verbose=0, return_dict=True)
    assert found["loss"] == history["val_loss"][0] and found["miou"] == history["val_miou"][0]
    loss, miou = _scores(logits_of(method, images), labels)
    np.testing.assert_allclose([found["loss"], found["miou"]], [loss, miou], rtol=1e-4)
    return method


def _scores(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Cross entropy, and mean IoU, over the pixels with a class; each half of the images weighs the same."""
    valid = labels != 255
    exponentials = np.exp(np.float64(logits))
    picked = np.take_along_axis(exponentials, np.where(valid, labels, 0)[..., None], -1)[..., 0]
    losses = -np.log(picked / exponentials.sum(-1))
    halves = [losses[half][valid[half]].mean() for half in (slice(0, 2), slice(2, 4))]
    found, labels = logits.argmax(-1)[valid], labels[valid]
    ious = [
        ((found == c) & (labels == c)).sum() / ((found == c) | (labels == c)).sum() for c in range(CLASSES)
    ]
    return float(np.mean(halves)), float(np.mean(ious))


def logits_of(method: Method, images: np.ndarray) -> np.ndarray:
    """Logits of the inference network at full size."""
    return np.array(method.predict_on_batch(images))


def _check_saving(method: Method, images: np.ndarray, path: Path) -> None:
    method.save(path)
    again = keras.saving.load_model(path)
    assert json.dumps(again.get_config()) == json.dumps(method.get_config())  # tuples come back as lists
    np.testing.assert_array_equal(logits_of(again, images), logits_of(method, images))
    for ours, theirs in zip(state(again), state(method), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def _check_export(method: Method, images: np.ndarray, folder: Path) -> None:
    """The native format of the backend, without a signature, at a size of images that nobody gave."""
    if BACKEND == "torch":
        import torch

        method.export(folder / "model.pt2")
        with torch.no_grad():
            found = torch.export.load(folder / "model.pt2").module()(torch.tensor(images)).numpy()
    else:
        import tensorflow as tf

        method.export(folder / "model")
        loaded = tf.saved_model.load(str(folder / "model"))
        found = loaded.serve(tf.constant(images)).numpy()
    np.testing.assert_allclose(found, logits_of(method, images), rtol=1e-4, atol=1e-5)


def _check_pseudo_labels(method: Method, images: np.ndarray) -> None:
    """At stride 8, in ranges that the diagnosis counts on."""
    images = keras.ops.convert_to_tensor(images)
    if not method.makes_pseudo_labels:
        assert method.pseudo_labels(images) is None
        return
    found = compile_forward(method, lambda _, images: method.pseudo_labels(images))(images)
    found = {name: np.asarray(keras.ops.convert_to_numpy(value)) for name, value in found.items()}
    needed = {"labels", "confidence", "own_labels", "own_confidence", "entropy"}
    if any(network.F_sub is not None for network in method.networks):
        needed |= {"sub_labels", "sub_confidence", "open", "sub_entropy"}
    assert needed <= set(found)
    shape = (len(images), images.shape[1] // 8, images.shape[2] // 8)
    assert {value.shape for value in found.values()} == {shape}
    assert found["labels"].min() >= 0 and found["labels"].max() < CLASSES
    assert found["own_confidence"].min() >= 1 / CLASSES - 1e-6 and found["own_confidence"].max() <= 1 + 1e-6
    assert not math.isclose(found["entropy"].min(), found["entropy"].max())
