"""The results of the CamVid benchmark are kept, run by run, and not trained again."""

from __future__ import annotations

import pytest

from benchmarks import camvid
from tests.tables.made import made_plan, made_result
from usrn_keras.errors import RunError

MIOUS = {("A", 0): 40.0, ("A", 1): 50.0, ("B", 0): 43.0, ("B", 1): 52.0}
FACTS = {"backend": "torch", "hardware": "2 x a core", "commit": "abc1234"}


@pytest.fixture
def plan():
    return made_plan("A", "B", seeds=(0, 1))


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(camvid, "RESULTS", tmp_path)
    return tmp_path


def test_lines_say_all_that_the_table_says(plan, results):
    result = made_result(plan, MIOUS)
    written = camvid.write(plan, list(camvid.lines(result, FACTS)))
    assert written.markdown().splitlines()[:4] == result.markdown().splitlines()[:4]
    kept = camvid.kept_lines(results / f"camvid_{plan.spec.name}.csv", plan)
    assert {line["commit"] for line in kept} == {"abc1234"}
    for name, cell in camvid.cells_of(kept).items():
        assert cell.figures == pytest.approx(result.cells[name].figures)
        assert cell.ious == pytest.approx(result.cells[name].ious)


def test_what_is_known_is_left_out_of_the_plan(plan, results):
    part = {key: value for key, value in MIOUS.items() if key != ("B", 1)}
    camvid.write(plan, list(camvid.lines(made_result(plan, part), FACTS)))
    file = results / f"camvid_{plan.spec.name}.csv"
    missing = camvid.without(plan, camvid.cells_of(camvid.kept_lines(file, plan)))
    assert [(cell.row, cell.seed) for cell in missing.cells] == [("B", 1)]


def test_a_run_with_other_settings_is_not_known(plan, results):
    camvid.write(plan, list(camvid.lines(made_result(plan, MIOUS), FACTS)))
    other = made_plan("A", "B", seeds=(0, 1), recipe="voc_1_16")
    assert not camvid.kept_lines(results / f"camvid_{plan.spec.name}.csv", other)


def test_what_is_done_is_written_when_the_rest_stops(plan, results, monkeypatch):
    def stopped(missing, folder, **options):
        assert len(missing.cells) == 3
        raise RunError("another process is at work")

    camvid.write(plan, list(camvid.lines(made_result(plan, {("A", 0): 40.0}), FACTS)))
    monkeypatch.setattr(camvid, "make_table", stopped)
    monkeypatch.setattr(camvid, "gather", lambda missing, *_: made_result(missing, {("B", 0): 43.0}))
    with pytest.raises(RunError):
        camvid.measure(plan, results / "runs", 1, FACTS)
    kept = camvid.kept_lines(results / f"camvid_{plan.spec.name}.csv", plan)
    assert {camvid._cell_name(line)[::2] for line in kept} == {("A", 0), ("B", 0)}
    assert (results / f"camvid_{plan.spec.name}.md").read_text().startswith("| Made |")
