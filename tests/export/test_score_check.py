"""What an export costs in mIoU, measured on a tiny data set with a network of one layer."""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from usrn_keras.data import load_dataset
from usrn_keras.errors import DataError, ExportError, RecipeError, RunError
from usrn_keras.evaluation.evaluate import evaluate
from usrn_keras.export import score_check as module
from usrn_keras.export.run_export import ExportReport
from usrn_keras.export.score_check import CheckImages, TimedPredictor, check_scores, network_input
from usrn_keras.export.score_table import CheckedModel, ScoreCheck
from usrn_keras.recipe import load_recipe

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

KERNEL = np.array([[-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0]], np.float32)  # cars are bright
BIAS = np.array([1.6, 0.0], np.float32)


@pytest.fixture
def exported(tmp_path, recipe_file, monkeypatch):
    """A run, and its network as an ONNX file."""
    images = keras.Input((None, None, 3))
    convolution = keras.layers.Conv2D(2, 1)
    model = keras.Model(images, convolution(keras.layers.Rescaling(1 / 255)(images)))
    convolution.set_weights([KERNEL[None, None], BIAS])
    model.save(tmp_path / "model.keras")
    recipe = load_recipe(str(recipe_file), ["evaluation.flip=true"])
    run = SimpleNamespace(model_path=tmp_path / "model.keras", recipe=recipe, classes=("road", "car"))
    monkeypatch.setattr(module, "open_run", lambda path: run)
    write_convolution(tmp_path / "model.onnx")
    report = report_of(tmp_path / "model.onnx")
    return SimpleNamespace(folder=tmp_path, model=model, recipe=recipe, report=report)


def report_of(path, format: str = "onnx") -> ExportReport:
    return ExportReport(format, str(path), 1, "", 0.0, 0.0, 1.0, 0.0, "torch")


def write_convolution(path) -> None:
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    shape = ["batch", "32*height", "32*width"]
    constants = {
        "scale": np.float32(1 / 255), "kernel": KERNEL.T[:, :, None, None].copy(), "bias": BIAS,
    }  # fmt: skip
    nodes = [
        helper.make_node("Mul", ["images", "scale"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "kernel", "bias"], ["found"], kernel_shape=[1, 1]),
        helper.make_node("Transpose", ["found"], ["logits"], perm=[0, 2, 3, 1]),
    ]
    graph = helper.make_graph(
        nodes, "convolution",
        [helper.make_tensor_value_info("images", float32, [*shape, 3])],
        [helper.make_tensor_value_info("logits", float32, [*shape, 2])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def test_every_form_is_scored_on_the_same_images(exported):
    found = check_scores("run", exported.report, CheckImages.of("run", "val"))
    assert [model.name for model in found.models] == ["keras", "onnx", "onnx float16", "onnx int8"]
    assert (found.split, found.images) == ("val", 1)
    dataset = load_dataset(exported.recipe.data)
    own = evaluate(exported.model, dataset.val, dataset, boundary=False).scores.miou
    ours, same, half, small = found.models
    assert 0.6 < own < 1 and ours.miou == same.miou == pytest.approx(own)
    assert abs(half.miou - own) < 0.01 and 0 < abs(small.miou - own) < 0.1
    assert "static, 3 calibration images" in small.note
    assert (exported.folder / "model.float16.onnx").stat().st_size == half.bytes
    assert all(model.milliseconds > 0 for model in found.models)
    assert found.to_json()["models"][3]["change"] == small.miou - ours.miou
    assert any("whole + flip" in note for note in found.notes)


def test_dynamic_quantisation_if_static_fails(exported, monkeypatch):
    import onnxruntime.quantization

    def fail(*arguments, **options):
        raise NotImplementedError("no such layer\nmore")

    monkeypatch.setattr(onnxruntime.quantization, "quantize_static", fail)
    small = check_scores("run", exported.report, CheckImages.of("run", "val")).models[3]
    assert small.note == "dynamic; static failed: NotImplementedError: no such layer" and small.miou > 0.4


def test_a_copy_that_cannot_be_made_says_why(exported, monkeypatch):
    def fail(source, target):
        target.write_text("half")
        raise RuntimeError("float16 is not possible")

    monkeypatch.setattr(module, "write_float16", fail)
    found = check_scores("run", exported.report, CheckImages.of("run", "val"))
    half = found.models[2]
    assert half.miou is None and half.note == "failed: RuntimeError: float16 is not possible"
    assert found.rows()[2][1:] == ["-", "-", "-", "-", half.note]
    assert found.to_json()["models"][2]["change"] is None and found.models[3].miou > 0.4
    assert not (exported.folder / "model.float16.onnx").exists()


def test_a_model_that_does_not_run_is_an_error(exported):
    (exported.folder / "model.onnx").write_text("no model")
    with pytest.raises(ExportError, match="the exported onnx model does not run"):
        check_scores("run", exported.report, CheckImages.of("run", "val"))


def test_data_is_checked_first(exported, recipe_file, tmp_path):
    with pytest.raises(DataError, match="--check test: the data set data has no test images"):
        CheckImages.of("run", "test")
    with pytest.raises(RecipeError):
        CheckImages.of("run", "nowhere.toml")
    assert CheckImages.of("run", str(recipe_file)).split == "val"
    (recipe_file.parent / "data/classes.txt").write_text("road\nbus\n")
    with pytest.raises(RunError, match="only runs of the same classes"):
        CheckImages.of("run", "val")


def test_fixed_size_pads_or_refuses():
    image = np.full((40, 48, 3), 7, np.uint8)
    padded = network_input(image, (64, 96))
    assert padded.shape == (1, 64, 96, 3) and padded.dtype == np.float32 and (padded == 7).all()
    assert network_input(image, None).shape == (1, 64, 64, 3)
    bands = np.full((40, 48, 5), 9, np.uint8)
    assert (
        network_input(bands, (64, 96)).shape == (1, 64, 96, 5) and (network_input(bands, (64, 96)) == 9).all()
    )
    with pytest.raises(ExportError, match="40 x 48 does not fit the fixed size 64 x 32"):
        network_input(image, (64, 32))


def test_the_first_image_of_a_size_is_not_timed(monkeypatch):
    clock = iter([0.0, 9.0, 10.0, 10.002, 20.0, 20.004])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    predictor, image = TimedPredictor(lambda image: image[..., 0]), np.zeros((40, 48, 3), np.uint8)
    predictor.ids_of([image])
    assert predictor.milliseconds == 9000
    predictor.ids_of([image, image])
    assert predictor.milliseconds == pytest.approx(3)


def test_rows_show_percent_and_change():
    models = (CheckedModel("keras", "a", 0.5, 2_000_000, 10.0), CheckedModel("onnx", "b", 0.4876, 1, 5.04))
    assert ScoreCheck("made", "val", 2, models).rows() == [
        ["keras", "50.00", "", "2.00", "10.0", ""],
        ["onnx", "48.76", "-1.24", "0.00", "5.0", ""],
    ]
