"""Damaged files of a complete run: every verb that reads one names it and the remedy, which works."""

from __future__ import annotations

import json
import shutil
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
    "report": [name for name in WRONG_ENTRIES if name not in (SCORES, BEST)],
    "evaluate": ["dataset.json", "stages.json", BEST],
    "predict": ["dataset.json", "stages.json"],
    "export": ["dataset.json", "stages.json"],
    "fit": ["dataset.json", "environment.json", "evaluation.json"],
    "fit again": [CLUSTERED, SCORES],
}
"""Files that a verb reads. `fit again`: the run was not evaluated yet."""

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
        if not (verb == "fit again" and name in READ_BY["fit"]):
            spoil(run / name, "no JSON", None)
    done = invoke(verb, run, complete)
    assert done.exit_code == 0, done.output


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
    if verb == "fit again":
        (run / "evaluation.json").unlink()
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
