"""A method from outside the package: trained by its recipe, and refused with all that it lacks."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

from usrn_cli.main import main
from usrn_keras.errors import RecipeError
from usrn_keras.files import read_json
from usrn_keras.methods import find_method
from usrn_keras.recipe import load_recipe

TOY = """
from pydantic import Field

from usrn_keras.losses import cross_entropy
from usrn_keras.methods import LossPart, Method, labelled_images
from usrn_keras.recipe.method_options import MethodOptions


class ToyOptions(MethodOptions):
    weight: float = Field(0.5, ge=0, description="weight of the loss")


class Toy(Method):
    method_name, title, Options = "toy", "Toy method", ToyOptions

    def __init__(self, networks, *, weight=0.5, **kwargs):
        super().__init__(networks, **kwargs)
        self.weight = weight

    def loss_parts(self):
        return [LossPart("labelled", self.labelled, self.networks[0].trainable_variables)]

    def labelled(self, batch, context):
        logits = self.networks[0].logits(labelled_images(batch))["F"]
        loss = cross_entropy(logits, batch["labels"], batch["labels"] != self.ignore_index)
        return {"loss": self.weight * loss, "weight": self.weight + 0 * loss}, {}


class Empty(Method):
    Options = dict


def no_class(networks):
    return networks
"""


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """A folder with modules of methods, on the path for this test alone."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "toy_methods.py").write_text(TOY)
    (folder / "broken_methods.py").write_text("class Broken(:\n")
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop("toy_methods", None)


def test_fit_trains_it_with_its_own_options(toys, recipe_file):
    recipe_file.write_text(
        recipe_file.read_text().replace("[training]\n", '[training]\nmethod = "toy_methods:Toy"\n')
        + "[toy_methods]\nweight = 0.25\n"
    )
    run = recipe_file.parent / "run"
    done = CliRunner().invoke(main, ["fit", str(recipe_file), "--run", str(run), "--quiet"])
    assert done.exit_code == 0, done.output
    assert [folder.name for folder in sorted(run.glob("[0-9]-*"))] == ["1-baseline", "2-toy"]
    assert (run / "model.keras").exists() and "Toy method" in done.stdout
    lines = [line for line in (run / "metrics.jsonl").read_text().splitlines() if "2-toy" in line]
    assert len(lines) >= 4 and all('"weight": 0.25' in line for line in lines)
    assert [scores["name"] for scores in read_json(run / "evaluation.json")["scores"]] == [
        "Baseline", "Toy method",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "errors"),
    [
        (["toy_methods.weight=-1"], ["toy_methods.weight: input should be greater than or equal to 0"]),
        (["toy_methods.wieght=1"], ["toy_methods.wieght: unknown key; did you mean `weight`?"]),
        (["usrn.gate=off"], ["[usrn]: used only with training.method = 'usrn'"]),
    ],
)
def test_its_section_is_checked(toys, overrides, errors):
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", ["training.method=toy_methods:Toy", *overrides])
    assert len(caught.value.errors) == len(errors)
    for line, error in zip(caught.value.errors, errors, strict=True):
        assert line.startswith(error)


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("self_trainin", "must be one of supervised, self_training, .*did you mean `self_training`"),
        ("nothing_like_it", "must be one of supervised, self_training, .*usrn, .* or MODULE:CLASS"),
        (
            "no_such_module:Toy",
            "'no_such_module:Toy' cannot be imported: ModuleNotFoundError",
        ),
        ("broken_methods:Broken", "cannot be imported: SyntaxError"),
        ("toy_methods:Toi", "module toy_methods has no class 'Toi', .*did you mean `Toy`"),
        (":Toy", "cannot be imported: ValueError"),
        ("toy_methods:", "module toy_methods has no class ''"),
    ],
)
def test_a_method_that_does_not_exist_is_one_error_among_all(toys, method, error):
    with pytest.raises(RecipeError, match=error) as caught:
        load_recipe("quickstart", [f"training.method={method}", "views.crop_size=100"])
    assert [line.split(":")[0] for line in caught.value.errors] == ["training.method", "views.crop_size"]


def test_a_class_with_missing_parts_names_them_all(toys):
    with pytest.raises(RecipeError, match="'toy_methods:Empty' is not a complete method") as caught:
        find_method("toy_methods:Empty")
    assert [line.split(":")[0] for line in caught.value.errors] == [
        "`method_name`", "`title`", "`loss_parts`", "`Options`",
    ]  # fmt: skip
    with pytest.raises(RecipeError, match="not a complete method") as caught:
        find_method("toy_methods:no_class")
    assert "must be a subclass of usrn_keras.methods.Method, received <function" in caught.value.errors[0]


@pytest.mark.parametrize("name", ["Empty", "no_class"])
def test_fit_refuses_what_is_no_method_before_it_writes(toys, recipe_file, name):
    run = recipe_file.parent / "run"
    arguments = ["fit", str(recipe_file), "--run", str(run), "--set", f"training.method=toy_methods:{name}"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == RecipeError.exit_code and "is not a complete method" in done.stderr
    assert not run.exists()


def test_options_of_a_method_that_is_not_used(recipe_file):
    recipe_file.write_text(recipe_file.read_text() + '[usrn]\ngate = "off"\n')
    text = recipe_file.read_text().replace("[training]\n", '[training]\nmethod = "self_training"\n')
    (recipe_file.parent / "other.toml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(recipe_file.parent / "other.toml"))
    assert caught.value.errors == (
        "[usrn]: used only with training.method = 'usrn' or training.with_usrn = true, received "
        "training.method = 'self_training'; remove the section, or choose that method",
    )
    recipe = load_recipe(
        str(recipe_file), ["training.method=self_training"]
    )  # the file's section goes with it
    assert recipe.options.threshold == 0.75 and "usrn" not in recipe.model_dump()
