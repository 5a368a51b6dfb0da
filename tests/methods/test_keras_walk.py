"""What Keras users do with a model, in one walk over a method that learns from unlabelled images."""

from __future__ import annotations

import csv
import importlib.util

import keras
import numpy as np
import pytest

from tests.methods.build_method import build_method
from tests.methods.handmade import CLASSES, SIZE, handmade_batch, handmade_branches
from tests.tools import fill
from usrn_keras.metrics.segmentation_iou import SegmentationIoU

BACKEND = keras.backend.backend()
BATCHES = 2
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


def pipeline() -> object:
    """The same batches as the backend's own users have them."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices(arrays()).batch(4)
    if BACKEND == "torch":
        from torch.utils.data import DataLoader

        data = arrays()
        samples = [{name: value[i] for name, value in data.items()} for i in range(4 * BATCHES)]
        return DataLoader(samples, batch_size=4)
    return Batches()


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

    found = model.evaluate(images, labels, batch_size=4, verbose=0, return_dict=True)
    assert set(found) == {"loss", "miou"}
    assert model.evaluate(pipeline(), verbose=0, return_dict=True) == pytest.approx(found, rel=1e-5)
    logits = model.predict(data, batch_size=4, verbose=0)
    assert logits.shape == (4 * BATCHES, SIZE, SIZE, CLASSES)
    np.testing.assert_allclose(model.predict(images, batch_size=4, verbose=0), logits, rtol=1e-5, atol=1e-5)
    lines = []
    model.summary(print_fn=lambda text, **_: lines.append(text))
    assert "self_training" in "\n".join(lines) and model.count_params() > 0

    again = keras.saving.load_model(tmp_path / "last.keras")
    clone = keras.models.clone_model(again)
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(clone.predict_on_batch(images[:4]), logits[:4], rtol=1e-5, atol=1e-5)
    assert again.optimizer.use_ema and int(again.optimizer.iterations) == 2 * BATCHES
    assert np.isfinite(again.fit(pipeline(), shuffle=False, verbose=0).history["loss"][0])


@pytest.mark.slow
def test_onnx_without_a_signature(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model, images = make(), np.float32(arrays()["labelled"][:3])
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"images": images})
    np.testing.assert_allclose(found, model.predict_on_batch(images), rtol=1e-4, atol=1e-5)


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
    finally:
        keras.config.set_dtype_policy("float32")
