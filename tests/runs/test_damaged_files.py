"""Damaged files of a complete run: every verb that reads one names it and the remedy, which works."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.conftest import make_recipe
from usrn_cli.main import main
from usrn_keras.errors import RunError
from usrn_keras.subclasses.subclass_map import NUMBERS

CLUSTERED, SCORES, BEST = "2-subclasses/complete.json", "1-baseline/scores.json", "1-baseline/best.json"
METRICS, DIAGNOSIS = "metrics.jsonl", "3-usrn/diagnosis.jsonl"
WRONG_ENTRIES = {
    "dataset.json": {"name": "a", "classes": "road", "palette": []},
    "stages.json": [{"kind": "cluster", "model": "baseline"}],
    "environment.json": [{"packages": ["keras"]}],
    CLUSTERED: {"seconds": "long"},
    SCORES: {"asked": {}, "scores": {"name": "a"}},
    "evaluation.json": {"scores": {"road": 0.5}},
    METRICS: {"stage": "1-baseline", "step": 1, "loss": "low"},
    DIAGNOSIS: {"step": "first"},
    "2-subclasses/subclasses.json": dict.fromkeys(NUMBERS, "many"),
    BEST: {"step": 1.5},
}
"""Files of a run, each with a value of JSON that is not what the file contains."""

READ_BY = {
    "report": [name for name in WRONG_ENTRIES if name not in (SCORES, BEST, "environment.json")],
    "evaluate": ["dataset.json", "stages.json", BEST],
    "predict": ["dataset.json", "stages.json"],
    "export": ["dataset.json", "stages.json"],
    "fit": ["dataset.json"],
}
"""Files that stop a verb; `fit` rebuilds the others, and the report does without the environment."""

DAMAGES = ("empty", "cut", "no JSON", "another type", "wrong entry")
CASES = [
    (verb, name, damage)
    for verb, names in READ_BY.items()
    for name in names
    for damage in (DAMAGES if verb == "report" or name in (SCORES, BEST) else DAMAGES[1:2])
    if not (name in (METRICS, DIAGNOSIS) and damage in ("empty", "cut"))  # what a crash leaves
]


@pytest.fixture(scope="module")
def complete(tmp_path_factory) -> Path:
    """`run`, `data` and `recipe.toml`: a run of USRN that evaluated on val while it trained."""
    folder = tmp_path_factory.mktemp("damaged")
    recipe = make_recipe(folder)
    recipe.write_text(f"{recipe.read_text()}[evaluation]\nevery = 2\n")
    done = usrn("fit", recipe, "--run", folder / "run")
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def run(complete, tmp_path) -> Path:
    return Path(shutil.copytree(complete / "run", tmp_path / "run"))


@pytest.mark.parametrize(("verb", "name", "damage"), CASES)
def test_a_verb_names_the_file_and_the_remedy(verb, name, damage, run, complete):
    spoil(run / name, damage, WRONG_ENTRIES[name])
    done = invoke(verb, run, complete)
    assert done.exit_code == RunError.exit_code, (done.output, done.exception)
    assert str(run / name) in done.stderr and "Traceback" not in done.stderr
    assert any(word in done.stderr for word in ("elete", "writes it again", "--checkpoint last"))


@pytest.mark.parametrize("verb", READ_BY)
def test_a_verb_does_not_mind_what_it_does_not_read(verb, run, complete):
    for name in set(WRONG_ENTRIES) - set(READ_BY[verb]):
        if not (verb == "fit" and name in (BEST, "2-subclasses/subclasses.json", METRICS, DIAGNOSIS)):
            spoil(run / name, "no JSON", None)
    done = invoke(verb, run, complete)
    assert done.exit_code == 0, done.output


REBUILT = {
    "model.keras": "written again from the checkpoint of 3-usrn",
    "1-baseline/model.keras": "written again from the checkpoint of 1-baseline",
    "2-subclasses/sublabels/1.png": "computed again",
    "2-subclasses/centers.npy": "computed again",
    CLUSTERED: "completed again",
    SCORES: "evaluated again",
    "evaluation.json": "evaluated again",
    "report/image_scores.csv": "evaluated again",
    "report/index.html": "drawn again",
    "1-baseline/small_maps.npz": "evaluated again",
}
"""Products of a run, and what `fit` says when it rebuilds one."""


@pytest.mark.parametrize("how", ["missing", "cut", "changed"])
@pytest.mark.parametrize(
    "names",
    [["model.keras", "1-baseline/model.keras", "2-subclasses/sublabels/1.png"], ["report/index.html"],
     ["2-subclasses/centers.npy", SCORES], [CLUSTERED, "evaluation.json"],
     ["report/image_scores.csv", "1-baseline/small_maps.npz"]],
    ids=lambda names: names[0],
)  # fmt: skip
def test_fit_rebuilds_what_is_damaged(names, how, run, complete):
    if how == "changed" and CLUSTERED in names:
        pytest.skip("a fact in it is not known anywhere else")
    before = content(run)
    for name in names:
        ruin(run / name, how)
    done = invoke("fit", run, complete)
    assert done.exit_code == 0, done.output
    if not (how == "missing" and CLUSTERED in names):
        assert all(REBUILT[name] in done.stderr for name in names), done.stderr
    assert content(run) == before
    again = invoke("fit", run, complete)
    assert again.exit_code == 0 and "again" not in again.stderr, again.stderr


def test_fit_completes_an_evaluation_that_was_killed_before_its_page(run, complete):
    before = content(run)
    for name in ("complete.json", "report/index.html"):
        (run / name).unlink()
    done = invoke("fit", run, complete)
    assert done.exit_code == 0 and "evaluated again" not in done.stderr, done.output
    assert content(run) == before and (run / "complete.json").exists()
    assert (run / "report/index.html").exists()


def test_fit_names_what_cannot_be_rebuilt(run, complete):
    for name in ("model.keras", "3-usrn/checkpoint.npz", "2-subclasses/sublabels/1.png"):
        ruin(run / name, "changed")
    before = (run / "2-subclasses/complete.json").read_bytes()
    done = invoke("fit", run, complete)
    assert done.exit_code == RunError.exit_code
    assert "model.keras has another content than was written; its checkpoint has changed, too" in done.stderr
    assert (run / "2-subclasses/complete.json").read_bytes() == before  # nothing was touched


def test_a_model_that_is_lost_says_how_to_rebuild_it(run, complete):
    ruin(run / "model.keras", "cut")
    assert "Rebuild it from the checkpoint: usrn fit" in invoke("predict", run, complete).stderr
    ruin(run / "model.keras", "missing")
    assert "Rebuild it from the checkpoint: usrn fit" in invoke("predict", run, complete).stderr


def test_products_of_a_checkpoint_that_nothing_needs(run, complete):
    """The run is complete without it, and says so."""
    ruin(run / "3-usrn/checkpoint.npz", "missing")
    done = invoke("fit", run, complete)
    assert done.exit_code == 0 and "3-usrn/checkpoint.npz is missing" in done.stderr


def content(run: Path) -> dict[str, object]:
    """What a run has learnt and measured, without times."""
    scores = json.loads((run / "evaluation.json").read_text())["scores"]
    maps = {file.name: file.read_bytes() for file in (run / "2-subclasses").rglob("*.png")}
    with zipfile.ZipFile(run / "model.keras") as model:
        weights = {name: model.read(name) for name in model.namelist() if name != "metadata.json"}
    kept = ("2-subclasses/centers.npy", "report/image_scores.csv")
    return {"scores": scores, "maps": maps, "model": sorted(weights)} | {
        name: (run / name).read_bytes() for name in kept
    }


def ruin(file: Path, how: str) -> None:
    """Delete a file, cut it in half, or change a byte in its middle."""
    old = file.read_bytes()
    if how == "missing":
        file.unlink()
    elif how == "cut":
        file.write_bytes(old[: len(old) // 2])
    else:
        middle = len(old) // 2
        file.write_bytes(old[:middle] + bytes([old[middle] ^ 1]) + old[middle + 1 :])


def test_records_that_a_crash_cut_short_are_skipped(run, complete):
    for name, damage in ((METRICS, "cut"), (DIAGNOSIS, "empty")):
        spoil(run / name, damage, None)
    assert invoke("report", run, complete).exit_code == 0


def test_the_remedies_bring_the_run_back(run, complete):
    """Each file as its hint says: deleted, or written again by `usrn fit`."""
    before = json.loads((run / "evaluation.json").read_text())
    spoil(run / "stages.json", "cut", None)
    for name in set(WRONG_ENTRIES) - {"stages.json", "2-subclasses/subclasses.json", BEST}:
        (run / name).unlink()
    shutil.rmtree(run / "2-subclasses")
    (run / "1-baseline/complete.json").unlink()
    for verb in ("fit", "report"):
        done = invoke(verb, run, complete)
        assert done.exit_code == 0, done.output
    after = json.loads((run / "evaluation.json").read_text())
    assert [one["confusion"] for one in after["scores"]] == [one["confusion"] for one in before["scores"]]


def invoke(verb: str, run: Path, folder: Path) -> Result:
    """Run a verb on a run."""
    words = {
        "report": ["report", run],
        "evaluate": ["evaluate", run, "--model", "baseline", "--checkpoint", "best"],
        "predict": ["predict", run, folder / "data/images/3.png", "--out", run / "out"],
        "export": ["export", run, "--format", "torch", "--size", "32x32"],
    }.get(verb, ["fit", folder / "recipe.toml", "--run", run])
    return usrn(*words)


def usrn(*words: object) -> Result:
    return CliRunner().invoke(main, list(map(str, words)))


def spoil(file: Path, damage: str, wrong: object) -> None:
    """Damage a file. A log gets another line."""
    old = file.read_bytes()
    new = {
        "empty": b"",
        "cut": old[: len(old) // 2].rstrip(b"\n"),
        "no JSON": b"\x89PNG\r\n",
        "another type": b"3\n",
        "wrong entry": json.dumps(wrong).encode() + b"\n",
    }[damage]
    is_added = file.suffix == ".jsonl" and damage not in ("empty", "cut")
    file.write_bytes(old + new if is_added else new)
