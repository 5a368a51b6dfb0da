"""Run folders of earlier versions: everything that reads them works, and nothing trains in them."""

from __future__ import annotations

import numpy as np
import pytest
import tomli_w
from click.testing import CliRunner

from tests.evaluation.made_run import IGNORED, make_run, write
from tests.tools import started
from usrn_cli.main import main
from usrn_keras.data import load_dataset
from usrn_keras.errors import RunError
from usrn_keras.evaluation import evaluate_run
from usrn_keras.evaluation.predict import predict_files
from usrn_keras.export import export_run
from usrn_keras.files import read_json, write_json
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.stage_plan import Cluster
from usrn_keras.runs import open_run, reuse_stages, why_not_reused
from usrn_keras.stages.report import report_runs
from usrn_keras.subclasses import SubclassMap

OLD_TRAINING = {
    "threshold": 0.9, "lambda_u": 1.0, "lambda_sub": 0.5, "gate": "stop", "correction": "mask",
    "sub_prior": "uniform", "terms": ["msl", "ost", "usr", "sst", "egm"],
}  # fmt: skip


@pytest.fixture
def old_run(tmp_path):
    """A complete run as the first versions left it: old keys, no `stages.json`, no `numerics`."""
    make_run(tmp_path)
    run = tmp_path / "run"
    (run / "stages.json").unlink()
    values = load_recipe(str(tmp_path / "recipe.toml")).model_dump()
    del values["usrn"]
    values["training"] |= OLD_TRAINING
    values["network"]["sub_head"] = "random"
    (run / "recipe.toml").write_text(tomli_w.dumps(values))
    (session,) = read_json(run / "environment.json")
    del session["numerics"]
    write_json(run / "environment.json", [session])
    write_json(run / "1-baseline/complete.json", {"steps": 4, "seconds": 1.0})
    (run / "2-subclasses").mkdir()
    subclasses = SubclassMap(
        ("road", "pole", "sky"), np.array([2, 1, 2]), np.full(5, 9), np.zeros((5, 8), "float32"),
        np.array([18, 9, 18]), np.array([18, 9, 18]), np.zeros(3), np.zeros(5),
    )  # fmt: skip
    subclasses.save(run / "2-subclasses")
    facts = {"class_balance_rate": 0.99, "subclasses": 5, "seconds": 1.0, "resumed": False}
    write_json(run / "2-subclasses/complete.json", facts)
    (run / "3-usrn").mkdir()
    write_json(run / "3-usrn/complete.json", {"steps": 4, "seconds": 1.0})
    return run


def test_it_opens_with_the_stages_and_options_that_it_had(old_run):
    run = open_run(old_run)
    assert run.stages == ("1-baseline", "2-subclasses", "3-usrn")
    assert run.models == ("baseline", "usrn") and isinstance(run.plan["2-subclasses"], Cluster)
    assert all(map(run.is_complete, run.stages))
    options = run.recipe.options
    assert (options.threshold, options.lambda_sub, options.gate) == (0.9, 0.5, "stop")
    assert run.model_path == old_run / "model.keras"


def test_it_is_evaluated(old_run):
    names = {model: evaluate_run(old_run, model=model).scores.name for model in ("baseline", "usrn")}
    assert len(set(names.values())) == 2
    done = CliRunner().invoke(main, ["evaluate", str(old_run), "--quiet"])
    assert done.exit_code == 0, done.output


def test_it_predicts(old_run, tmp_path):
    image = np.zeros((20, 24, 3))
    image[..., 2] = 1  # red, as OpenCV writes it: the class `pole`
    write(tmp_path / "photo.png", image)
    mask, overlay = predict_files(old_run, [tmp_path / "photo.png"], tmp_path / "out")
    assert mask.exists() and overlay.exists() and IGNORED == 255


def test_it_is_reported_and_exported(old_run, tmp_path):
    (page,) = report_runs([old_run])
    assert "USRN" in page.read_text(encoding="utf-8")
    export_run(old_run, format="torch", out=tmp_path / "model.pt2", input_size=(32, 32))
    assert (tmp_path / "model.pt2").stat().st_size > 0


@pytest.mark.parametrize("keep_weights", [True, False])
def test_nothing_trains_in_it(old_run, tmp_path, keep_weights):
    if not keep_weights:
        (old_run / "3-usrn/complete.json").unlink()
    before = {path: path.read_bytes() for path in old_run.rglob("*.toml")}
    done = CliRunner().invoke(main, ["fit", str(tmp_path / "recipe.toml"), "--run", str(old_run)])
    assert done.exit_code == RunError.exit_code, done.output
    assert "is a run of an earlier version" in done.stderr and "Traceback" not in done.output
    assert {path: path.read_bytes() for path in old_run.rglob("*.toml")} == before
    assert not (old_run / "stages.json").exists()


def test_a_new_run_says_why_it_takes_nothing_over(old_run, tmp_path):
    recipe = load_recipe(str(tmp_path / "recipe.toml"))
    with started(tmp_path / "new", recipe, load_dataset(recipe.data)) as run:
        donor = open_run(old_run)
        assert list(reuse_stages(run, donor)) == []
        assert "numerics = '0' instead of" in why_not_reused(run, [donor])
