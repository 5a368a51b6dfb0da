"""The results of the CamVid benchmark are kept, run by run, and not trained again."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks import camvid, small_camvid
from tests.sweeps.made import made_plan, made_result
from usrn_keras._version import NUMERICS
from usrn_keras.errors import RunError
from usrn_keras.sweeps.render import as_markdown
from usrn_keras.sweeps.result import known_cells

MIOUS = {("A", 0): 40.0, ("A", 1): 50.0, ("B", 0): 43.0, ("B", 1): 52.0}
FACTS = {"images": "8 x 6", "backend": "torch", "hardware": "2 x a core", "commit": "abc1234"}


@pytest.fixture
def plan():
    return made_plan("A", "B", seeds=(0, 1))


@pytest.fixture
def stem(tmp_path):
    return tmp_path / "camvid_made"


def test_lines_say_all_that_the_table_says(plan, stem):
    result = made_result(plan, MIOUS)
    written = camvid.write(plan, list(camvid.lines(result, FACTS)), stem)
    assert as_markdown(written).splitlines()[:4] == as_markdown(result).splitlines()[:4]
    kept = camvid.kept_lines([stem.with_suffix(".csv")], plan)
    assert {line["commit"] for line in kept} == {"abc1234"}
    assert {line["numerics"] for line in kept} == {str(NUMERICS)}
    columns = ["row", "split", "seed", "figure", "value"]
    pd.testing.assert_frame_equal(camvid.frame_of(kept)[columns], result.frame[columns], check_dtype=False)


def test_what_is_known_is_left_out_of_the_plan(plan, stem):
    part = {key: value for key, value in MIOUS.items() if key != ("B", 1)}
    camvid.write(plan, list(camvid.lines(made_result(plan, part), FACTS)), stem)
    missing = camvid.without(plan, camvid.frame_of(camvid.kept_lines([stem.with_suffix(".csv")], plan)))
    assert [(cell.row, cell.seed) for cell in missing.cells] == [("B", 1)]


def test_a_run_of_another_table_is_known(plan, stem, monkeypatch):
    monkeypatch.setattr(camvid, "TABLES", ("other",))
    other = replace(plan, spec=plan.spec.model_copy(update={"name": "other"}))
    camvid.write(other, list(camvid.lines(made_result(other, MIOUS), FACTS)), stem.with_name("camvid_other"))
    kept = camvid.kept_lines(camvid.result_files(stem, plan), plan)
    assert {(line["table"], line["model"]) for line in kept} == {("made", "usrn")}
    assert not camvid.without(plan, camvid.frame_of(kept)).cells
    baselines = made_plan("A", "B", seeds=(0, 1), overrides=["training.method=supervised"])
    assert not camvid.kept_lines(camvid.result_files(stem, plan), baselines)


def test_what_is_known_of_other_seeds_stays(plan, stem, monkeypatch):
    camvid.write(plan, list(camvid.lines(made_result(plan, {("A", 0): 40.0}), FACTS)), stem)
    monkeypatch.setattr(camvid, "make_table", lambda missing, folder, **options: None)
    monkeypatch.setattr(camvid, "collect", lambda missing, *_: made_result(missing, {("A", 1): 50.0}))
    asked = camvid.part(plan, plan.splits, [1])
    assert {cell.seed for cell in asked.cells} == {1}
    assert {cell.row for cell in camvid.part(plan, plan.splits, [0, 1], ["B"]).cells} == {"B"}
    result = camvid.measure(plan, asked, stem, stem.with_name("runs"), 1, FACTS)
    assert {(row, seed) for row, _, seed in known_cells(result.frame)} == {("A", 0), ("A", 1)}
    assert "images of 8 x 6" in stem.with_suffix(".md").read_text()


def test_a_run_with_other_settings_is_not_known(plan, stem):
    camvid.write(plan, list(camvid.lines(made_result(plan, MIOUS), FACTS)), stem)
    other = made_plan("A", "B", seeds=(0, 1), recipe="voc_1_16")
    assert not camvid.kept_lines([stem.with_suffix(".csv")], other)


def test_results_of_other_numerics_are_not_known(plan, stem, monkeypatch):
    camvid.write(plan, list(camvid.lines(made_result(plan, MIOUS), FACTS)), stem)
    monkeypatch.setattr(camvid, "NUMERICS", NUMERICS + 1)
    assert not camvid.kept_lines([stem.with_suffix(".csv")], plan)
    with pytest.raises(SystemExit, match=f"other numerics than {NUMERICS + 1}, which would be lost: A 1_32"):
        camvid.validate_nothing_is_lost(plan, stem)


def test_results_of_other_settings_are_not_overwritten(plan, stem):
    camvid.write(plan, list(camvid.lines(made_result(plan, MIOUS), FACTS)), stem)
    camvid.validate_nothing_is_lost(plan, stem)
    other = made_plan("A", "B", seeds=(0, 1), overrides=["training.usrn_steps=7"])
    with pytest.raises(SystemExit, match="A 1_32 seed 0, A 1_32 seed 1, B 1_32 seed 0, B 1_32 seed 1"):
        camvid.validate_nothing_is_lost(other, stem)
    suffixed = stem.with_name(f"{stem.name}_other")
    camvid.validate_nothing_is_lost(other, suffixed)
    camvid.write(other, list(camvid.lines(made_result(other, MIOUS), FACTS)), suffixed)
    assert camvid.result_files(suffixed, other) == [suffixed.with_name("camvid_made_other.csv")]


@pytest.mark.parametrize(
    ("file", "name", "numerics"),
    [("main", "main", 1), ("main_2400", "main", 1), ("controls", "controls", 1), ("proof", "proof", 2)],
)
def test_committed_results_are_rows_of_todays_tables(file, name, numerics):
    """Each line is a cell of today's plan, of one numerics, and the Markdown file has the same rows."""
    stem = camvid.RESULTS / f"camvid_small_{file}"
    lines = camvid.table.read(stem.with_suffix(".csv"))
    options = camvid.parsed(["--camvid", "somewhere", "--small"])
    planned = camvid.plan_of(name, ["data.root=somewhere"], options, "torch", lines)
    models = {cell.place: cell.run.model for cell in planned.cells}
    assert lines and {line["numerics"] for line in lines} == {str(numerics)}
    for line in lines:
        assert models[line["row"], line["split"], int(line["seed"])] == line["model"]
    made, committed = (
        [row for row in text.splitlines() if row.startswith("|")][1:]
        for text in (as_markdown(camvid.result_of(planned, lines)), stem.with_suffix(".md").read_text())
    )
    assert made == committed


@pytest.mark.parametrize(
    ("arguments", "splits"),
    [(["--small"], {"1_16"}), ([], {"1_16", "1_8"}), (["--small", "--splits", "1_8"], {"1_16", "1_8"})],
)
def test_two_cores_leave_out_a_split_that_is_not_asked_for(arguments, splits):
    options = camvid.parsed(["--camvid", "somewhere", "--seeds", "0,1", *arguments])
    planned = camvid.plan_of("controls", ["data.root=somewhere"], options, "torch")
    assert {cell.split for cell in planned.cells} == splits
    assert {cell.seed for cell in planned.cells} == {0, 1, 2}
    assert {run.recipe.training.usrn_steps for run in planned.runs} == {2400 if options.small else 4800}


def test_what_is_chosen_by_is_measured_on_val():
    options = camvid.parsed(["--camvid", "somewhere", "--small"])
    splits = {}
    for name in ("screening", "proof"):
        plan = camvid.plan_of(name, ["data.root=somewhere"], options, "torch")
        splits[name] = {run.recipe.evaluation.split for run in plan.runs}
    assert splits == {"screening": {"val"}, "proof": {"test"}}


def test_splits_and_seeds_that_were_measured_stay_in_the_table():
    options = camvid.parsed(["--camvid", "somewhere", "--small"])
    measured = [{"split": "1_8", "seed": "0"}, {"split": "1_16", "seed": "2"}]
    planned = camvid.plan_of("controls", ["data.root=somewhere"], options, "torch", measured)
    assert planned.splits == ("1_16", "1_8") and planned.seeds == (0, 1, 2)


def test_what_is_done_is_written_when_the_rest_stops(plan, stem, monkeypatch):
    def stopped(missing, folder, **options):
        assert len(missing.cells) == 3
        raise RunError("is used by another process")

    camvid.write(plan, list(camvid.lines(made_result(plan, {("A", 0): 40.0}), FACTS)), stem)
    monkeypatch.setattr(camvid, "make_table", stopped)
    monkeypatch.setattr(camvid, "collect", lambda missing, *_: made_result(missing, {("B", 0): 43.0}))
    with pytest.raises(RunError):
        camvid.measure(plan, plan, stem, stem.with_name("runs"), 1, FACTS)
    kept = camvid.kept_lines([stem.with_suffix(".csv")], plan)
    assert {camvid._cell_name(line)[::2] for line in kept} == {("A", 0), ("B", 0)}
    assert stem.with_suffix(".md").read_text().startswith("| Made |")


def test_half_the_size(tmp_path):
    """Means of four pixels, one of four ids with the palette, and everything else as it is."""
    source = tmp_path / "camvid"
    for folder in ("images/train", "labels/train"):
        (source / folder).mkdir(parents=True)
    (source / "classes.txt").write_text("road\npole\n")
    cv2.imwrite(str(source / "images/train/a.jpg"), np.full((6, 8, 3), 90, np.uint8))
    ids = np.arange(48, dtype=np.uint8).reshape(6, 8)
    mask = Image.fromarray(ids).convert("P")
    mask.putdata(ids.ravel().tolist())
    mask.save(source / "labels/train/a.png")
    small = small_camvid.halved(source, tmp_path / "small")
    assert cv2.imread(str(small / "images/train/a.jpg")).shape == (3, 4, 3)
    with Image.open(small / "labels/train/a.png") as found:
        assert found.mode == "P"
        np.testing.assert_array_equal(np.asarray(found), ids[1::2, 1::2])
    assert (small / "classes.txt").read_text() == "road\npole\n"
    before = (small / "images/train/a.jpg").stat().st_mtime_ns
    assert small_camvid.halved(source, small) == small
    assert (small / "images/train/a.jpg").stat().st_mtime_ns == before
