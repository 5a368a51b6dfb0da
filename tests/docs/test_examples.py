"""The Python blocks of the pages, and the notebook, run as they stand."""

from __future__ import annotations

import json
import re
import shlex
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from tests.docs.pages import CURRENT, PAGES, PYTHON_BLOCK, run
from tests.evaluation.made_run import make_run
from tests.tools import ROOT, tiny_branches
from usrn_keras.data.batches.padding import LARGE_STEP, SIDES, padded_side
from usrn_keras.methods import METHODS, find_method
from usrn_keras.optimizers import SGD
from usrn_keras.recipe.method_options import METHOD_OPTIONS


def block(page: str, words: str) -> str:
    """The only Python block of a page that contains these words."""
    (code,) = [code for code in PYTHON_BLOCK.findall(PAGES[page]) if words in code]
    return code


def test_every_python_block_is_run_here():
    blocks = {page: len(PYTHON_BLOCK.findall(PAGES[page])) for page in CURRENT}
    assert {page: count for page, count in blocks.items() if count} == {
        "README.md": 1,
        "add_a_method.md": 2,
        "export.md": 1,
        "methods/usrn_on_top.md": 1,
        "python_api.md": 1,
    }


def test_block_of_the_readme():
    names: dict = {}
    exec(block("README.md", "BalancedKMeans"), names)
    assert names["classes"].shape == (4, 64, 64) and set(np.unique(names["classes"])) <= {0, 1}
    assert np.bincount(names["clusters"]).tolist() == [50] * 4


def test_block_that_loads_and_predicts(tmp_path, monkeypatch):
    make_run(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "run").rename(tmp_path / "runs/first")
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(block("python_api.md", "usrn_keras.load"), names)
    assert names["found"].classes.shape == (20, 30) and (names["found"].classes == 0).all()


def test_block_of_usrn_on_top():
    names: dict = {}
    exec(block("methods/usrn_on_top.md", "SecondHead"), names)
    assert names["model"].heads == ("F", "F_sub")


def test_block_that_serves_an_exported_model(tmp_path, monkeypatch, capsys):
    """The class of the exported network is 1 where red exceeds blue; the photo is red on the left."""
    pytest.importorskip("onnxruntime")
    from usrn_keras.export import export_model

    images = keras.Input((None, None, 3), name="images")
    logits = keras.layers.Conv2D(2, 1, name="classifier")(images)
    model = keras.Model(images, logits)
    model.set_weights([np.array([[[[0, 1], [0, 0], [1, 0]]]], "float32"), np.zeros(2, "float32")])
    monkeypatch.chdir(tmp_path)
    export_model(model, "model.onnx", format="onnx")
    facts = {"classes": ["blue", "red"], "input": {"sides": list(SIDES)}}
    (tmp_path / "model.onnx.labels.json").write_text(json.dumps(facts))
    photo = np.zeros((40, 64, 3), np.uint8)
    photo[:, :16, 0] = photo[:, 16:, 2] = 200
    Image.fromarray(photo).save("photo.jpg", quality=100, subsampling=0)
    names: dict = {}
    exec(block("export.md", "onnxruntime"), names)
    assert np.array_equal(names["ids"], np.tile([1] * 16 + [0] * 48, (40, 1)))
    assert "red 25.0%" in capsys.readouterr().out
    assert [names["padded"](side) for side in (40, 500, 1030)] == [padded_side(s) for s in (40, 500, 1030)]
    assert f"% {LARGE_STEP}" in block("export.md", "onnxruntime")


@pytest.mark.parametrize(("module", "name"), [("half", "HalfSupervised"), ("consistency", "Consistency")])
def test_methods_of_the_examples_train(module, name, tmp_path, monkeypatch):
    (tmp_path / f"{module}.py").write_text(block("add_a_method.md", f"class {name}("), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, module, raising=False)
    method = find_method(f"{module}:{name}")([(tiny_branches()[0],)])
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    batch = {"labelled": images, "labels": rng.integers(0, 3, (2, 64, 64)).astype("int32")}
    if method.inputs.unlabelled:
        batch |= {"weak": images, "strong": 255 - images}
    before = method.inference_network.classifier.get_weights()[0]
    method.compile(optimizer=SGD(0.1))
    history = method.fit(((batch,) for _ in range(1)), steps_per_epoch=1, shuffle=False, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert not np.array_equal(before, method.inference_network.classifier.get_weights()[0])
    again = type(method).from_config(method.get_config())
    assert again.loss_terms(batch).keys() == method.loss_terms(batch).keys()


@pytest.mark.parametrize("method", METHODS)
def test_methods_page_has_every_option_with_its_default(method):
    """The page of methods, or that of a method, names each option of a method in the part about it."""
    own_page = f"methods/{method}.md"
    part = (
        PAGES[own_page]
        if own_page in PAGES
        else PAGES["methods.md"]
        .partition(f"### `{method}`\n")[2]
        .partition("\n## ")[0]
        .partition("\n### ")[0]
    )
    assert re.search(r"^    L += ", part, re.MULTILINE)  # the equation
    fields = METHOD_OPTIONS[method].model_fields if METHOD_OPTIONS[method] else {}
    for name, field in fields.items():
        assert f"`{name}`" in part
        default = field.get_default()
        if isinstance(default, float):
            assert f"{default:g}" in part
        elif isinstance(default, str) and default:
            assert f"`{default}`" in part


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # a notebook shows pictures it opens
def test_notebook_runs(tmp_path, monkeypatch, capsys):
    """Every cell in its order; `!usrn fit` trains a tiny network for two steps."""
    notebook = json.loads((ROOT / "docs/first_project.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    commands = []
    for cell in cells:
        source = "".join(cell["source"]).replace("\\\n", " ")
        for line in re.findall(r"^!usrn (.*)$", source, re.MULTILINE):
            commands.append(shlex.split(line))
            result = run(commands[-1])
            assert result.exit_code == 0, f"{line}\n{result.output}"
        exec(re.sub(r"^!.*$", "", source, flags=re.MULTILINE), names)
    assert [words[0] for words in commands] == ["init", "data", "data", "fit", "predict"]
    assert capsys.readouterr().out.count("mIoU") == 2
