"""From a table to its runs: equal recipes are one run, equal stages are shared."""

from __future__ import annotations

import pytest

from tests.sweeps.made import BASELINE, SUBCLASSES, USRN
from usrn_keras.errors import RecipeError, RunError
from usrn_keras.recipe.load import load_recipe, shipped_recipes
from usrn_keras.stages.step_operations import TrainingOperations
from usrn_keras.sweeps import equal_compute
from usrn_keras.sweeps.plan import make_plan
from usrn_keras.sweeps.spec import Row, TableSpec, load_table


def table(*rows: Row, **options) -> TableSpec:
    return TableSpec(
        name="mine", title="Mine", about="Asked.", reference=rows[0].name, rows=list(rows), **options
    )


def plan_of(*rows: Row, recipe: str = "quickstart", seeds=(0,), backend: str = "torch", **options):
    overrides = options.pop("overrides", [])
    splits = options.pop("splits_asked", ())
    return make_plan(table(*rows, **options), recipe, overrides, seeds=seeds, splits=splits, backend=backend)


BASE = Row(name="Baseline", set={"training.method": "supervised"})
PLAIN = Row(name="USRN")


def test_a_baseline_is_trained_once():
    plan = plan_of(BASE, PLAIN, seeds=(0, 1))
    assert [cell.run.model for cell in plan.cells] == ["baseline", "baseline", "usrn", "usrn"]
    baseline, usrn = plan.runs[:2]
    training = usrn.recipe.training
    assert baseline.steps == {BASELINE: training.baseline_steps}
    assert usrn.steps == {BASELINE: training.baseline_steps, USRN: training.usrn_steps}
    assert baseline.needs[BASELINE] == usrn.needs[BASELINE]


def test_a_baseline_is_the_same_whatever_usrn_is():
    one, other = (
        plan_of(BASE, overrides=overrides).runs[0]
        for overrides in ([], ["usrn.threshold=0.9", "subclasses.size_factor=3.0"])
    )
    (longer,) = plan_of(BASE, overrides=["training.baseline_steps=7"]).runs
    assert one.key == other.key != longer.key


@pytest.mark.parametrize(
    ("values", "shared"),
    [
        ({"usrn.terms": ["msl"]}, {BASELINE, SUBCLASSES}),
        ({"usrn.gate": "stop", "usrn.lambda_u": 0.5}, {BASELINE, SUBCLASSES}),
        ({"network.sharing": "none"}, {BASELINE, SUBCLASSES}),
        ({"training.start": "baseline", "usrn.sub_head": "centroids"}, {BASELINE, SUBCLASSES}),
        ({"subclasses.assignment": "free"}, {BASELINE}),
        ({"subclasses.max_subclasses": 1}, {BASELINE}),
        ({"network.aspp_channels": 7}, set()),
        ({"training.learning_rate": 0.5}, set()),
        ({"views.crop_size": 64}, set()),
    ],
)
def test_what_two_rows_share(values, shared):
    plan = plan_of(PLAIN, Row(name="other", set=values))
    one, other = plan.runs
    assert {stage for stage in (BASELINE, SUBCLASSES) if one.needs[stage] == other.needs[stage]} == shared
    assert one.needs[USRN] != other.needs[USRN]


def test_a_supervised_row_needs_the_baseline_alone():
    plan = plan_of(PLAIN, BASE)
    assert set(plan.runs[1].needs) == {BASELINE} and list(plan.runs[1].steps) == [BASELINE]
    assert plan.runs[0].needs[BASELINE] == plan.runs[1].needs[BASELINE]


def test_a_seed_is_all_that_is_drawn():
    plan = plan_of(PLAIN, recipe="camvid_1_8", seeds=(0, 2))
    recipes = [run.recipe for run in plan.runs]
    drawn = [(r.training.seed, r.subclasses.seed, r.data.split_seed) for r in recipes]
    assert drawn == [(0, 0, 0), (2, 2, 2)]
    other = plan_of(PLAIN, recipe="voc_1_32", seeds=(2,)).runs[0].recipe  # no list of that seed is shipped
    assert (other.training.seed, other.data.split_seed) == (2, 0)


def test_splits_from_few_labels_to_many_and_the_oracle_once():
    oracle = Row(name="Oracle", once=True, set={"data.labels": "all", "training.method": "supervised"})
    plan = plan_of(BASE, oracle, recipe="camvid_1_8", splits="shipped")
    assert plan.splits == ("1_16", "1_8", "1_4")
    assert len({cell.run.key for cell in plan.cells if cell.row == "Oracle"}) == 1
    assert len({cell.run.key for cell in plan.cells if cell.row == "Baseline"}) == 3
    own = plan_of(BASE, recipe="camvid_1_8", splits="shipped", overrides=["data.split=splits/mine"])
    assert own.splits == ("splits/mine",)
    asked = plan_of(BASE, recipe="camvid_1_8", splits="shipped", splits_asked=("1_4",))
    assert asked.splits == ("1_4",) and asked.runs[0].recipe.data.split == "1_4"


def test_the_oracle_takes_all_steps():
    oracle = Row(name="Oracle", all_steps=True, set={"training.method": "supervised", "data.labels": "all"})
    baseline, usrn, all_masks = plan_of(BASE, PLAIN, oracle).runs
    assert all_masks.steps[BASELINE] == sum(usrn.steps.values()) > baseline.steps[BASELINE]


def test_the_controls_of_usrn_on_a_host_train_without_it(tmp_path):
    """Options of the file that a row has no use for are left out of it."""
    text = shipped_recipes()["quickstart"].read_text()
    host = '[training]\nmethod = "cps"\nwith_usrn = true\n'
    file = tmp_path / "mine.toml"
    file.write_text(
        text.replace("[training]\n", host) + '\n[usrn]\non_disagreement = "drop"\ngate = "stop"\n'
    )
    plan = make_plan(load_table("controls"), str(file), [], seeds=(0,), backend="torch")
    assert {cell.row: cell.run.model for cell in plan.cells} == {
        "Baseline": "baseline", "Baseline, all steps": "baseline", "self-training": "self_training",
        "CPS + USRN, K = C": "cps", "disagreement": "usrn", "CPS + USRN": "cps",
    }  # fmt: skip
    longer, host = plan.runs[1], plan.runs[-1]
    assert longer.steps[BASELINE] == sum(host.steps.values())
    assert host.recipe.training.with_usrn and host.recipe.usrn.gate == "stop"
    assert [run.recipe.training.with_usrn for run in plan.runs].count(True) == 2


def test_the_gate_table_has_gates_where_the_recipe_has_none():
    """The recipes of CamVid say gate = "off"; their terms have egm for the rows that set another."""
    plan = make_plan(load_table("gate"), "camvid_1_8", [], seeds=(0,), backend="torch")
    assert len(plan.runs) == len(plan.spec.rows)
    assert {run.recipe.usrn.gate for run in plan.runs if run.model == "usrn"} == {
        "off",
        "stop",
        "fallback",
    }


def test_the_key_is_what_the_result_depends_on():
    (run,) = plan_of(PLAIN).runs
    (elsewhere,) = plan_of(PLAIN, overrides=["data.root=/elsewhere", "data.workers=7"]).runs
    (other,) = plan_of(PLAIN, backend="jax").runs
    (named,) = plan_of(Row(name="another name")).runs
    assert run.key == elsewhere.key == named.key != other.key
    assert run.name == f"usrn-seed0-{run.key}"


def test_other_numerics_are_other_runs(monkeypatch):
    (run,) = plan_of(PLAIN).runs
    monkeypatch.setattr("usrn_keras.sweeps.plan.NUMERICS", 99)
    (other,) = plan_of(PLAIN).runs
    assert run.key != other.key and not set(run.needs.values()) & set(other.needs.values())


def test_the_row_is_stronger_than_what_is_set_for_all():
    plan = plan_of(PLAIN, Row(name="other", set={"usrn.threshold": 0.5}), overrides=["usrn.threshold=0.9"])
    assert [run.recipe.usrn.threshold for run in plan.runs] == [0.9, 0.5]


def test_every_wrong_row_is_named():
    wrong = [Row(name="a", set={"usrn.thresh": 1}), Row(name="b", set={"usrn.gate": "ajar"})]
    with pytest.raises(RecipeError, match=r"2 row\(s\)") as error:
        plan_of(PLAIN, *wrong)
    assert "row 'a': usrn.thresh: unknown key" in str(error.value)
    assert "row 'b': usrn.gate" in str(error.value)


def test_a_seed_twice_is_refused():
    with pytest.raises(RunError, match="a seed is given twice: 1, 1"):
        make_plan(load_table("main"), "quickstart", [], seeds=(1, 1), backend="torch")


@pytest.mark.parametrize("source", ["voc_1_32", "recipes/voc_1_32.toml"])
def test_each_split_has_the_subclasses_and_steps_of_its_own_recipe(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = make_plan(load_table("main"), source, [], seeds=(0,), backend="torch")
    runs = {cell.split: cell.run.recipe for cell in plan.cells if cell.row == "USRN"}
    for split, recipe in runs.items():
        shipped = load_recipe(f"voc_{split}")
        assert recipe.subclasses.counts == shipped.subclasses.counts
        assert recipe.training.usrn_steps == shipped.training.usrn_steps
    assert len({tuple(recipe.subclasses.counts) for recipe in runs.values()}) == 3


def test_counts_of_another_split_are_refused(tmp_path):
    (tmp_path / "mine.toml").write_text(shipped_recipes()["voc_1_32"].read_text())
    with pytest.raises(RunError, match="counts of mine are those of its split 1_32, not of 1_64"):
        plan_of(PLAIN, recipe=str(tmp_path / "mine.toml"), splits="shipped")
    assert plan_of(PLAIN, recipe=str(tmp_path / "mine.toml"), splits_asked=("1_32",)).runs


def test_a_seed_without_a_list_of_its_own_is_refused():
    with pytest.raises(
        RunError, match=r"split 1_8 of camvid has no list .* for seed 3, 5; it has lists for 0, 1, 2"
    ):
        plan_of(PLAIN, recipe="camvid_1_8", seeds=(0, 3, 5))


def test_rows_and_reference_may_have_the_title_of_the_method():
    method = Row(name="{method}, K = C", set={"subclasses.max_subclasses": 1})
    plan = plan_of(method, BASE, recipe="camvid_1_8")
    assert [row.name for row in plan.spec.rows] == ["Prototype ensemble, K = C", "Baseline"]
    assert (
        plan.spec.reference == "Prototype ensemble, K = C" and plan.cells[0].run.model == "prototype_ensemble"
    )


def test_options_of_a_method_are_for_the_rows_that_have_it():
    other = Row(name="other", set={"training.method": "self_training"})
    plan = plan_of(PLAIN, BASE, other, overrides=["usrn.threshold=0.9", "training.learning_rate=0.5"])
    usrn, baseline, self_training = plan.runs
    assert usrn.recipe.usrn.threshold == 0.9 and self_training.recipe.self_training.threshold == 0.75
    assert {run.recipe.training.learning_rate for run in (usrn, baseline, self_training)} == {0.5}
    assert usrn.needs[BASELINE] == baseline.needs[BASELINE] == self_training.needs[BASELINE]


def test_options_of_a_method_that_only_rows_have():
    """The recipes of CamVid have another method than some rows of their tables."""
    plan = make_plan(load_table("components"), "camvid_1_16", ["usrn.gate=stop"], seeds=(0,), backend="torch")
    assert {run.recipe.usrn.gate for run in plan.runs if run.model == "usrn"} == {"stop"}


def test_options_of_a_method_that_no_row_has_are_refused():
    with pytest.raises(RecipeError, match=r"no row of mine has the method of self_training\.threshold=0\.9"):
        plan_of(PLAIN, BASE, overrides=["self_training.threshold=0.9"])


def test_options_of_usrn_are_for_the_rows_that_put_it_on_top():
    host = Row(name="FixMatch", set={"training.method": "fixmatch"})
    on_top = Row(name="FixMatch + USRN", set={"training.method": "fixmatch", "training.with_usrn": True})
    plan = plan_of(BASE, host, on_top, overrides=["usrn.gate=stop"])
    baseline, alone, both = plan.runs
    assert both.recipe.usrn.gate == "stop" and both.recipe.options.threshold == 0.95
    assert not hasattr(alone.recipe, "usrn")
    assert [*both.needs] == [BASELINE, SUBCLASSES, "3-fixmatch"] and [*alone.needs] == [
        BASELINE,
        "2-fixmatch",
    ]
    assert baseline.needs[BASELINE] == alone.needs[BASELINE] == both.needs[BASELINE]
    assert plan_of(PLAIN, on_top).runs[0].needs[SUBCLASSES] == both.needs[SUBCLASSES]


def test_rows_of_equal_compute_cost_what_the_recipe_costs(monkeypatch):
    """Operations are counted for the recipe and for each row; steps follow in proportion."""
    costs = {"usrn": (100, 0), "fixmatch": (50, 0), "self_training": (160, 20)}  # of the method, of a teacher
    monkeypatch.setattr(
        equal_compute,
        "operations_of_training",
        lambda recipes: [TrainingOperations(*costs[one.training.method]) for one in recipes],
    )
    rows = [BASE, PLAIN, *(Row(name=name, set={"training.method": name}) for name in [*costs][1:])]
    plan = make_plan(table(*rows), "quickstart", [], seeds=(0, 1), equal="compute", backend="torch")
    steps = load_recipe("quickstart").training.usrn_steps
    found = {cell.row: cell.run.recipe.training.usrn_steps for cell in plan.cells}
    expected = {"Baseline": steps, "USRN": steps, "fixmatch": 2 * steps, "self_training": steps // 2}
    assert found == expected
    assert "fixmatch 2000, self_training 500" in plan.notes[0]
    assert plan_of(*rows).notes == ()
