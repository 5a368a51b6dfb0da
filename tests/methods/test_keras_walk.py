"""What Keras users do with a model, in one walk over a method that learns from unlabelled images.

`benchmarks/keras_walk.py` runs it on every backend and makes the table of docs/python_api.md of what passed.
"""

from __future__ import annotations

import csv
import importlib.util
import os
from collections.abc import Iterator

import keras
import numpy as np
import pytest

from tests.methods.build_method import build_method
from tests.methods.handmade import CLASSES, SIZE, handmade_batch, handmade_branches
from tests.tools import fill
from usrn_keras.metrics.segmentation_iou import SegmentationIoU

BACKEND = keras.backend.backend()
BATCHES = 2
TABLE = os.environ.get("USRN_KERAS_WALK")  # file of the table
pytestmark = pytest.mark.every_backend


def make(method: str = "self_training") -> keras.Model:
    model = build_method(method, *handmade_branches(), threshold=0.4)
    fill(model.variables)
    return model


def arrays() -> dict[str, np.ndarray]:
    batches = [handmade_batch(number) for number in range(BATCHES)]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


class Batches(keras.utils.PyDataset):
    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, number: int) -> tuple[dict[str, np.ndarray]]:
        return (handmade_batch(number),)


def passed(*features: str, how: str = "yes") -> None:
    """Note what the lines before have shown, if the table is made."""
    if TABLE:
        with open(TABLE, "a") as file:
            file.writelines(f"{feature}\t{BACKEND}\t{how}\n" for feature in features)


def pipelines() -> Iterator[tuple[str, object, str]]:
    """The same batches as users have them, with name and form; those of a missing package are left out, and
    those of another backend unless the table is made, because its import takes long.

    Keras takes the items of a PyTorch `DataLoader` as they are on PyTorch, as tuples on the others.
    """
    data = arrays()
    samples = [{name: value[i] for name, value in data.items()} for i in range(4 * BATCHES)]
    yield "`PyDataset`", Batches(), "of tuples `(dict,)`"
    if BACKEND == "tensorflow" or (TABLE and importlib.util.find_spec("tensorflow")):
        import tensorflow as tf

        yield "`tf.data.Dataset`", tf.data.Dataset.from_tensor_slices(data).batch(4), "of dicts"
    if BACKEND == "torch" or (TABLE and importlib.util.find_spec("torch")):
        from torch.utils.data import DataLoader

        alone = BACKEND == "torch"
        loader = DataLoader(samples if alone else [(one,) for one in samples], batch_size=4)
        yield "PyTorch `DataLoader`", loader, "of dicts" if alone else "of tuples `(dict,)`"
    if importlib.util.find_spec("grain"):
        import grain

        yield "Grain `MapDataset`", grain.MapDataset.source(samples).batch(4), "of dicts"


# Keras does not ask a Grain data set for its length, and says so at its end.
@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
def test_walk(tmp_path):
    model, data = make(), arrays()
    images, labels = data["labelled"], data["labels"]
    schedule = keras.optimizers.schedules.CosineDecay(0.01, 10)
    model.compile(
        keras.optimizers.Adam(schedule, global_clipnorm=1.0, use_ema=True, ema_momentum=0.5),
        metrics=[SegmentationIoU(CLASSES)],
        jit_compile=BACKEND == "jax",  # XLA would take longer than all else on TensorFlow
        steps_per_execution=1 if BACKEND == "torch" else BATCHES,  # Keras has 1 alone on PyTorch
    )
    callbacks = [
        keras.callbacks.EarlyStopping("val_miou", mode="max", patience=5, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(tmp_path / "last.keras"),
        keras.callbacks.BackupAndRestore(tmp_path / "backup"),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
    ]
    if importlib.util.find_spec("tensorboard"):
        callbacks.append(keras.callbacks.TensorBoard(tmp_path / "logs"))
    start = keras.ops.convert_to_numpy(model.trainable_variables[0].value).copy()
    options = {"batch_size": 4, "epochs": 2, "verbose": 0, "shuffle": False}
    history = model.fit(data, validation_data=(images, labels), callbacks=callbacks, **options).history
    terms = {"loss", "supervised", "self_training", "confident"}
    assert set(history) == {*terms, "miou", "val_loss", "val_miou"}
    with open(tmp_path / "log.csv") as file:
        logged = [float(row["val_miou"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(logged, history["val_miou"], rtol=1e-6)
    assert (start != keras.ops.convert_to_numpy(model.trainable_variables[0].value)).any()
    passed("`fit` of a dict of arrays", "`validation_data`", "`metrics=[SegmentationIoU()]`")
    passed(*(f"`{type(callback).__name__}`" for callback in callbacks))
    passed("learning-rate schedule, clipping, EMA of the optimizer")
    passed("`steps_per_execution` above 1", how="no, by Keras" if BACKEND == "torch" else "yes")

    found = model.evaluate(images, labels, batch_size=4, verbose=0, return_dict=True)
    assert set(found) == {"loss", "miou"}
    passed("`evaluate` of arrays")
    for name, batches, form in pipelines():
        assert model.evaluate(batches, verbose=0, return_dict=True) == pytest.approx(found, rel=1e-5), name
        passed(name, how=form)
    logits = model.predict(data, batch_size=4, verbose=0)
    assert logits.shape == (4 * BATCHES, SIZE, SIZE, CLASSES)
    np.testing.assert_allclose(model.predict(images, batch_size=4, verbose=0), logits, rtol=1e-5, atol=1e-5)
    lines = []
    model.summary(print_fn=lambda text, **_: lines.append(text))
    assert "self_training" in "\n".join(lines) and model.count_params() > 0
    passed("`predict` of arrays and dicts", "`summary`, `count_params`")

    again = keras.saving.load_model(tmp_path / "last.keras")
    clone = keras.models.clone_model(again)
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(clone.predict_on_batch(images[:4]), logits[:4], rtol=1e-5, atol=1e-5)
    assert again.optimizer.use_ema and int(again.optimizer.iterations) == 2 * BATCHES
    passed("`save`, `load_model` with the optimizer, `clone_model`")
    *_, (_, batches, _) = pipelines()
    assert np.isfinite(again.fit(batches, shuffle=False, verbose=0).history["loss"][0])
    passed("`fit` of a data set, after `load_model`")


def test_bfloat16_and_compiled_steps():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make("supervised")
        model.compile("sgd", jit_compile=BACKEND != "torch")
    finally:
        keras.config.set_dtype_policy("float32")
    data = {name: value[:4] for name, value in arrays().items() if name in ("labelled", "labels")}
    assert np.isfinite(model.fit(data, batch_size=4, verbose=0).history["loss"][0])
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert model.predict_on_batch(data["labelled"]).dtype == np.float32
    passed("policy `mixed_bfloat16`")
    passed("`jit_compile=True`", how="not run" if BACKEND == "torch" else "yes")


@pytest.mark.slow
def test_onnx_without_a_signature(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model, images = make(), np.float32(arrays()["labelled"][:3])
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"images": images})
    np.testing.assert_allclose(found, model.predict_on_batch(images), rtol=1e-4, atol=1e-5)
    passed("`export(path, format='onnx')` without a signature")


def test_what_a_method_does_not_do_is_refused():
    model, data = make(), arrays()
    with pytest.raises(ValueError, match="`loss` and `loss_weights` must be None"):
        model.compile("sgd", loss="mse")
    model.compile("sgd", run_eagerly=BACKEND != "torch")
    wrong = data | {"labels": np.where(data["labels"] == 0, CLASSES, data["labels"])}
    for given in (wrong, Wrong()):
        with pytest.raises(ValueError, match=f"`labels` must be in 0..{CLASSES - 1}, .*received {CLASSES}"):
            model.fit(given, batch_size=4, verbose=0)
    with pytest.raises(ValueError, match=f"received {CLASSES}"):
        model.evaluate(wrong["labelled"], wrong["labels"], verbose=0)
    with pytest.raises(ValueError, match="missing: weak"):
        model.fit(data["labelled"], data["labels"], verbose=0)
    with pytest.raises(ValueError, match="takes no `sample_weight` and no `class_weight`"):
        model.evaluate(data["labelled"], data["labels"], sample_weight=np.ones(8), verbose=0)
    with pytest.raises(ValueError, match="need a `format`"):
        model.export("anywhere", input_signature=[])
    passed("missing key, class id outside the classes, sample weights, a loss", how="error")


class Wrong(Batches):
    def __getitem__(self, number: int) -> tuple[dict[str, np.ndarray]]:
        batch = handmade_batch(number)
        return (batch | {"labels": np.full_like(batch["labels"], CLASSES)},)


@pytest.mark.parametrize("policy", ["float16", "mixed_float16"])
def test_float16_is_refused(policy):
    keras.config.set_dtype_policy(policy)
    try:
        with pytest.raises(ValueError, match="methods do not compute in float16"):
            make().compile("sgd")
        passed(f"policy `{policy}`", how="refused")
    finally:
        keras.config.set_dtype_policy("float32")
