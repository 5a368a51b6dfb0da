from __future__ import annotations

import re
import tomllib

import pytest

from usrn_keras.recipe import load_recipe, shipped_recipes

RECIPES = shipped_recipes()
PAPER = {  # mIoU of USRN and Baseline, ResNet-50
    "voc_1_64": (61.7, 52.4),
    "voc_1_32": (68.6, 59.2),
    "voc_1_16": (72.3, 63.9),
    "cityscapes_1_32": (64.6, 59.8),
    "cityscapes_1_16": (71.2, 64.3),
    "cityscapes_1_8": (75.0, 68.9),
}
OF_THE_AUTHORS = {  # methods with settings of their authors, by data set
    "voc_1_16": ("fixmatch", "unimatch", "augseg", "cps", "cac", "dars", "cct", "gct"),
    "cityscapes_1_16": ("fixmatch", "unimatch", "augseg", "cps", "cac", "dars", "dsbn"),
}
KERAS_CV = "cityscapes_1_16_keras_cv"  # the paper's method with the network and views of keras-cv
RIVALS = {f"{data}_{method}": method for data, methods in OF_THE_AUTHORS.items() for method in methods}


def header(name: str) -> str:
    lines = RECIPES[name].read_text(encoding="utf-8").splitlines()
    return "\n".join(lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))])


def test_all_are_shipped():
    assert set(RECIPES) == {
        "quickstart",
        "camvid_1_16",
        "camvid_1_8",
        "camvid_1_4",
        KERAS_CV,
        *PAPER,
        *RIVALS,
    }


@pytest.mark.parametrize("name", RECIPES)
def test_validates(name):
    assert load_recipe(name).name == name


@pytest.mark.parametrize("name", RECIPES)
def test_header_says_what_to_expect_and_how_to_run_it(name):
    text = header(name)
    for field in ("Reproduces", "Expected", "Hardware", "Time", "Command"):
        assert re.search(rf"^# {field} +\S", text, re.MULTILINE), field
    assert f"usrn fit {name}" in text


@pytest.mark.parametrize("name", RECIPES)
def test_fits_on_a_screen(name):
    assert all(len(line) <= 110 for line in RECIPES[name].read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize(("name", "figures"), PAPER.items())
def test_header_names_the_papers_figures(name, figures):
    assert f"USRN {figures[0]}, Baseline {figures[1]}" in header(name)


@pytest.mark.parametrize("name", PAPER)
def test_holds_the_papers_settings(name):
    recipe = load_recipe(name)
    voc = name.startswith("voc")
    training, views = recipe.training, recipe.views
    assert (recipe.network.backbone, recipe.network.output_stride) == ("keras_cv/resnet50", 16)
    assert recipe.network.aspp_rates == [6, 12, 18]
    assert recipe.data.split == name.split("_", 1)[1]
    assert (training.batch_labelled, training.batch_unlabelled) == ((8, 8) if voc else (4, 4))
    assert training.learning_rate == (0.01 if voc else 0.02)
    assert (training.momentum, training.weight_decay, training.poly_power) == (0.9, 1e-4, 0.9)
    options = recipe.options
    assert training.method == "usrn" and options.terms == ["msl", "ost", "usr", "sst", "egm"]
    assert (options.threshold, options.lambda_u, options.lambda_sub, options.gate) == (0.75, 1, 1, "fallback")
    assert (training.start, options.sub_head) == ("imagenet", "random")
    assert views.long_side == (400 if voc else 2048)
    assert (*views.scale_labelled, *views.scale_unlabelled) == (0.5, 2.0, 0.8, 2.0)
    assert views.labelled_jitter is not voc


def test_the_recipe_of_keras_cv_differs_in_network_and_views_alone():
    ours, theirs = (
        {
            f"{section}.{key}": value
            for section, keys in load_recipe(name).model_dump().items()
            for key, value in keys.items()
        }
        for name in ("cityscapes_1_16", KERAS_CV)
    )
    changed = {key: value for key, value in theirs.items() if ours[key] != value}
    assert changed == {"network.architecture": "keras_cv/deeplab_v3_plus", "views.strong": "keras_cv"}


@pytest.mark.parametrize(("name", "method"), RIVALS.items())
def test_recipes_of_the_authors_name_their_source(name, method):
    recipe = load_recipe(name)
    assert recipe.training.method == method and f"{recipe.data.dataset}_{recipe.data.split}_{method}" == name
    assert re.search(
        r"\(commit [0-9a-f]{7}\)", header(name).replace("\n#", "")
    ) and "not measured here" in header(name)


@pytest.mark.parametrize("name", PAPER)
def test_counts_one_number_per_class(name):
    assert len(load_recipe(name).subclasses.counts) == (21 if name.startswith("voc") else 19)


@pytest.mark.parametrize("family", ["camvid", "voc", "cityscapes"])
def test_recipes_of_a_family_differ_in_the_split_alone(family):
    """A figure of one split must be comparable with that of another."""
    own = [
        ("data", "split"),
        ("subclasses", "counts"),
        ("training", "baseline_steps"),
        ("training", "usrn_steps"),
    ]
    seen = []
    for name in RECIPES:
        if name.startswith(family) and name not in (*RIVALS, KERAS_CV):
            values = tomllib.loads(RECIPES[name].read_text(encoding="utf-8"))
            for section, key in own:
                values[section].pop(key, None)
            seen.append(values)
    assert len(seen) == 3
    assert seen[0] == seen[1] == seen[2]
