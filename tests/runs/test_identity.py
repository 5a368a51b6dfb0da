"""The data set of a run: what makes it another one, and who refuses that."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.evaluation.made_run import make_data, make_run, write
from tests.tools import started
from usrn_keras.data import load_dataset
from usrn_keras.data.dataset import PARTS, ErrorList
from usrn_keras.errors import RunError
from usrn_keras.evaluation import evaluate_run
from usrn_keras.files import write_json
from usrn_keras.metrics import Scores
from usrn_keras.progress import SILENT
from usrn_keras.recipe import load_recipe
from usrn_keras.runs.identity import changes, describe
from usrn_keras.stages.evaluate_models import _settings_of, known_results
from usrn_keras.sweeps.data_check import check_data
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.outline import make_outline
from usrn_keras.sweeps.plan import make_plan
from usrn_keras.sweeps.spec import Row, TableSpec
from usrn_keras.sweeps.sweep import make_table

BASELINE = "1-baseline"


@pytest.fixture
def folder(tmp_path):
    make_run(tmp_path)
    return tmp_path


def loaded(folder, *overrides):
    return load_dataset(load_recipe(str(folder / "recipe.toml"), overrides).data)


def correct_a_mask(folder):
    mask = cv2.imread(str(folder / "data/masks/a.png"), cv2.IMREAD_UNCHANGED)
    mask[::2, ::3] = 1
    write(folder / "data/masks/a.png", mask)


def test_a_copy_elsewhere_is_the_same_data_set(folder):
    known = describe(loaded(folder))
    make_data(folder / "copy")
    assert changes(known, loaded(folder, f"data.root={folder / 'copy'}")) == []


def test_what_makes_it_another_one(folder):
    known = describe(loaded(folder))
    correct_a_mask(folder)
    (change,) = changes(known, loaded(folder))
    assert change.startswith("files of labelled: same names, but different images or masks")
    assert changes({key: known[key] for key in known if key != "contents"}, loaded(folder)) == []

    make_data(folder / "data", "pole\nroad\nsky\n")
    assert changes(known, loaded(folder)) == ["classes: road, pole, sky; now pole, road, sky"]
    (folder / "data/val.txt").write_text("town/0\n")
    assert changes(known, loaded(folder))[1].startswith("lists of images: ")


def test_a_mask_of_the_same_size_is_another_mask(folder):
    known, path = describe(loaded(folder)), folder / "data/masks/a.png"
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(bytes(data))
    assert changes(known, loaded(folder))[0].startswith("files of labelled: same names")


def test_runs_of_earlier_versions_know_the_sizes_of_files(folder):
    dataset = loaded(folder)
    known = describe(dataset)
    known["contents"] = {part: dataset.sizes(part) for part in PARTS}
    assert changes(known, dataset) == []
    correct_a_mask(folder)
    assert len(changes(known, loaded(folder))) == 1


@pytest.mark.parametrize(
    "override", ["data.value_range=[0, 4000]", "data.mask_threshold=127", "data.bands=[3, 2, 1]"]
)
def test_other_values_are_another_data_set(folder, override):
    known = describe(loaded(folder))
    errors = ErrorList()
    recipe = load_recipe(str(folder / "recipe.toml"), [override])
    assert changes(known, load_dataset(recipe.data, errors))[0].startswith("files of labelled")


def test_what_stopped_a_run_may_be_fixed(folder):
    """A broken labelled image shows while the Baseline trains, an unlabelled one after it."""
    recipe, image = load_recipe(str(folder / "recipe.toml")), folder / "data/images/c.png"
    with started(folder / "run", recipe, loaded(folder)) as run:
        pass
    correct_a_mask(folder)
    with started(folder / "run", recipe, loaded(folder)):
        pass
    run.complete(BASELINE)
    write(image, np.zeros((30, 30, 3)))
    with started(folder / "run", recipe, loaded(folder)):
        pass
    make_data(folder / "data")  # the mask as it was
    with (
        pytest.raises(RunError, match="data set has changed"),
        started(folder / "run", recipe, loaded(folder)),
    ):
        pass


def test_masks_of_unlabelled_images_do_not_count(folder):
    (folder / "data/labelled.txt").write_text("a\n")
    keys = ("data.labelled=labelled.txt", "data.unlabelled=unlabelled.txt")
    (folder / "data/unlabelled.txt").write_text("b\nc\n")
    known = describe(loaded(folder, *keys))
    write(folder / "data/masks/b.png", np.eye(20, 24))
    assert changes(known, loaded(folder, *keys)) == []


def fix_a_val_mask(folder):
    mask = cv2.imread(str(folder / "data/masks/town/0.png"), cv2.IMREAD_UNCHANGED)
    mask[::2, ::3] = 1
    write(folder / "data/masks/town/0.png", mask)


def test_a_corrected_mask_is_evaluated_again(folder):
    recipe, before = load_recipe(str(folder / "recipe.toml")), loaded(folder)
    known, measured_on = describe(before), before.contents("val")
    with started(folder / "run", recipe, before) as run:
        write_json(run.evaluation_file, results_of(recipe, measured_on))
    fix_a_val_mask(folder)
    after = loaded(folder)
    assert changes(known, after) == [] and len(changes(known, after, PARTS)) == 1
    with started(folder / "run", recipe, after) as run:  # what was learnt stays right
        assert known_results(run, recipe, measured_on) is not None
        assert known_results(run, recipe, after.contents("val")) is None


def test_a_table_evaluates_a_corrected_mask_again(folder):
    plan, (planned,) = table_of_one(folder)
    measured_on = loaded(folder).contents("val")
    with started(folder / "family" / planned.name, planned.recipe, loaded(folder)) as run:
        run.complete(BASELINE)
        write_json(run.evaluation_file, results_of(planned.recipe, measured_on))
    family = Family(folder / "family")
    assert all(map(family.is_done, check_data(plan, family).runs))
    fix_a_val_mask(folder)
    assert not any(map(family.is_done, check_data(plan, family).runs))


def results_of(recipe, contents):
    """An `evaluation.json`."""
    scores = Scores("Baseline", ["road", "pole", "sky"], np.eye(3, dtype=int))
    return {**_settings_of(recipe), "contents": contents, "scores": [scores.to_json()]}


def table_of_one(folder):
    """A table with a single run, and its runs."""
    spec = TableSpec(
        name="made", title="Made", about="Asked.", reference="Baseline",
        rows=[Row(name="Baseline", set={"training.method": "supervised"})],
    )  # fmt: skip
    plan = make_plan(spec, str(folder / "recipe.toml"), [], seeds=[0], backend="torch")
    return plan, plan.runs


def test_a_refused_run_stays_as_it_was(folder):
    before = (folder / "run/recipe.toml").read_bytes()
    make_data(folder / "copy", "pole\nroad\nsky\n")
    other = load_recipe(str(folder / "recipe.toml"), [f"data.root={folder / 'copy'}"])
    with (
        pytest.raises(RunError, match="data set has changed") as error,
        started(folder / "run", other, load_dataset(other.data)),
    ):
        pass
    assert error.value.errors[0] == "classes: road, pole, sky; now pole, road, sky"
    assert (folder / "run/recipe.toml").read_bytes() == before


def test_a_folder_with_a_recipe_in_it_is_no_run(folder):
    recipe = load_recipe(str(folder / "recipe.toml"))
    before = (folder / "recipe.toml").read_text()
    with (
        pytest.raises(RunError, match="not a run folder"),
        started(folder, recipe, load_dataset(recipe.data)),
    ):
        pass
    assert (folder / "recipe.toml").read_text() == before


def test_other_classes_are_refused_and_other_images_reported(folder):
    lines = []

    class Recorded(type(SILENT)):
        def log(self, line):
            lines.append(line)

    evaluate_run(folder / "run", progress=Recorded())
    assert lines == []
    correct_a_mask(folder)
    evaluate_run(folder / "run", progress=Recorded())
    assert len(lines) == 1 and "the data set has changed since the training, files of labelled: " in lines[0]
    (folder / "data/classes.txt").write_text("pole\nroad\nsky\n")
    with pytest.raises(RunError, match="data set has changed"):
        evaluate_run(folder / "run")


def test_a_table_refuses_runs_of_another_data_set(folder):
    plan, (planned,) = table_of_one(folder)
    with started(folder / "family" / planned.name, planned.recipe, loaded(folder)) as run:
        run.complete(BASELINE)
    make_outline(plan, folder / "family")
    correct_a_mask(folder)
    for refused in (make_outline, make_table):
        with pytest.raises(RunError, match="contains runs of another data set") as error:
            refused(plan, folder / "family")
        assert error.value.errors[0].startswith(f"{planned.name}: files of labelled: ")
