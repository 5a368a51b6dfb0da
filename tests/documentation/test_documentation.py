"""What the documentation says is so: figures, keys, commands, files, and examples that run."""

from __future__ import annotations

import importlib
import re
import sys

import numpy as np
import pytest

from tests.tools import ROOT, tiny_branches
from usrn_cli.main import VERBS
from usrn_keras.methods import METHODS, find_method
from usrn_keras.optimizers import SGD
from usrn_keras.recipe.method_options import METHOD_OPTIONS
from usrn_keras.recipe.old_keys import MOVED
from usrn_keras.recipe.schema import all_sections

MARK = re.compile(r"<!-- (benchmarks/results/\S+\.md) -->\n((?:\|.*\n)+)")
FILES = {path.name: path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]}
PAGES = {name: path.read_text(encoding="utf-8") for name, path in FILES.items()}
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def rows_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_tables_of_the_readme_are_those_of_the_results():
    """A table below `<!-- benchmarks/results/NAME.md -->` is that file's, row by row."""
    tables = MARK.findall(PAGES["README.md"])
    assert len(tables) == 2
    for source, table in tables:
        assert rows_of(table) == rows_of((ROOT / source).read_text(encoding="utf-8")), source


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^):#]+)\)", PAGES[page])
    assert not [link for link in links if not (FILES[page].parent / link).exists()]


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_those_of_usrn(page):
    commands = re.findall(r"(?:^    |`)(?:\w+=\S+ )?usrn ([a-z]+)", PAGES[page], re.MULTILINE)
    assert not [verb for verb in commands if verb not in VERBS]


@pytest.mark.parametrize("page", sorted(PAGES.keys() - {"CHANGELOG.md"}))
def test_keys_are_those_of_a_recipe(page):
    """Every `section.key` and `--set section.key=`; the changelog names keys that are gone."""
    sections = all_sections()
    named = re.findall(rf"(?:`|--set )({'|'.join(sections)})\.(?!json|py)(\w+)", PAGES[page])
    assert not [f"{section}.{key}" for section, key in named if key not in sections[section].model_fields]


def test_subcommands_of_recipes_exist():
    named = {name for text in PAGES.values() for name in re.findall(r"usrn recipes (\w+)", text)}
    assert named <= importlib.import_module("usrn_cli.recipes").command.commands.keys()


@pytest.mark.parametrize("method", METHODS)
def test_methods_page_has_every_option_with_its_default(method):
    """The page of methods names each option of a method in the part about it."""
    part = PAGES["methods.md"].partition(f"### `{method}`\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    assert re.search(r"^    L += ", part, re.MULTILINE)  # the equation
    fields = METHOD_OPTIONS[method].model_fields if METHOD_OPTIONS[method] else {}
    for name, field in fields.items():
        assert f"`{name}`" in part
        default = field.get_default()
        if isinstance(default, float):
            assert f"{default:g}" in part
        elif isinstance(default, str):
            assert f"`{default}`" in part


def test_changelog_names_every_key_that_moved():
    table = "\n".join(rows_of(PAGES["CHANGELOG.md"]))
    assert not [key for key in MOVED if key not in table]


def test_folders_on_one_page_are_those_of_the_package():
    page = PAGES["CONTRIBUTING.md"]
    layout = page.partition("## The folders\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"(\w+)/  ", layout))
    folders = {path.parent.name for path in (ROOT / "usrn_keras").glob("*/__init__.py")}
    assert folders <= named
    ways = page.partition("## From the README to a training step\n")[2].partition("\n## ")[0]
    for file in re.findall(r"`([\w/]+\.(?:py|md))`", ways):
        assert (ROOT / file).exists() or (ROOT / "usrn_keras" / file).exists(), file


@pytest.mark.parametrize(
    ("page", "module", "name"),
    [("README.md", "half", "HalfSupervised"), ("methods.md", "consistency", "Consistency")],
)
def test_methods_of_the_examples_train(page, module, name, tmp_path, monkeypatch):
    (code,) = [block for block in BLOCK.findall(PAGES[page]) if f"class {name}(" in block]
    (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
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
