"""What the documentation says is so: figures, keys, commands, files, messages, and examples that run."""

from __future__ import annotations

import ast
import importlib.util
import re
from itertools import pairwise

import click
import pytest

from tests.docs.pages import (
    CURRENT,
    FILES,
    PAGES,
    block_commands,
    find_command,
    inline_commands,
    make_project,
    run,
)
from tests.tools import ROOT
from usrn_keras import __all__ as public_names
from usrn_keras.errors import RecipeError
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.key_list import recipe_keys
from usrn_keras.recipe.old_keys import MOVED
from usrn_keras.recipe.schema import all_sections
from usrn_keras.sweeps.spec import shipped_tables

RESULTS_MARK = re.compile(r"<!-- (benchmarks/results/\S+\.md) -->\n((?:\|.*\n)+)")
GENERATED = ("recipe_keys.md", "commands.md")
SNIPPET = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)
IN_BLOCKS = [(page, words) for page in CURRENT for words in block_commands(PAGES[page])]
BETWEEN_BACKTICKS = [(page, words) for page in CURRENT for words in inline_commands(PAGES[page])]


@pytest.fixture(scope="module")
def generate():
    """The module docs/generate.py."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_placeholder(word: str) -> bool:
    return word.isupper()


def written_options(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}


def overrides(words: list[str]) -> list[str]:
    return [value for option, value in pairwise(words) if option == "--set"]


def test_the_pages_have_commands():
    assert len(IN_BLOCKS) > 25 and len(BETWEEN_BACKTICKS) > 40


@pytest.mark.parametrize(("page", "words"), IN_BLOCKS)
def test_command_lines_are_accepted_by_usrn(page, words):
    """Command, options, values of options and number of arguments, as click parses them."""
    command, rest = find_command(words)
    command.make_context(command.name, list(rest))


@pytest.mark.parametrize(("page", "words"), IN_BLOCKS + BETWEEN_BACKTICKS)
def test_commands_and_options_exist(page, words):
    command, rest = find_command(words)
    context = click.Context(command, **command.context_settings)
    known = {name for option in command.get_params(context) for name in option.opts + option.secondary_opts}
    assert written_options(rest) <= known | {"-h", "--help"}


@pytest.mark.parametrize(("page", "words"), IN_BLOCKS + BETWEEN_BACKTICKS)
def test_recipes_tables_and_overrides_exist(page, words):
    command, rest = find_command(words)
    positions = [one.name for one in command.params if isinstance(one, click.Argument)]
    given = dict(zip(positions, rest, strict=False))
    named = {name: word for name, word in given.items() if re.fullmatch(r"[a-z][a-z0-9_]*", word)}
    if command.name == "table":
        assert named.get("name", "main") in shipped_tables()
    recipe = next((named[name] for name in ("recipe", "run_or_recipe") if name in named), "camvid_1_8")
    if ":" not in "".join(overrides(rest)):  # a method of a file that the page shows
        changed = [text for text in overrides(rest) if not is_placeholder(text.partition("=")[2])]
        load_recipe(recipe, changed)  # it must be a shipped one


def test_a_wrong_word_of_a_command_is_found():
    with pytest.raises(RecipeError, match="crop_sise"):
        test_recipes_tables_and_overrides_exist("", ["fit", "my.toml", "--set", "views.crop_sise=64"])
    with pytest.raises(click.NoSuchOption):
        test_command_lines_are_accepted_by_usrn("", ["fit", "quickstart", "--dry"])
    with pytest.raises(AssertionError):
        test_commands_and_options_exist("", ["evaluate", "RUN", "--prediction", "FOLDER"])
    with pytest.raises(AssertionError):
        test_recipes_tables_and_overrides_exist("", ["table", "control", "quickstart"])
    with pytest.raises(RecipeError, match="quikstart"):
        test_recipes_tables_and_overrides_exist("", ["table", "controls", "quikstart"])


@pytest.mark.parametrize(
    "words", [words for _, words in IN_BLOCKS + BETWEEN_BACKTICKS if words[:1] == ["recipes"]]
)
def test_commands_about_recipes_run(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(words).exit_code == 0


@pytest.mark.parametrize("page", ["README.md", "first_project.md"])
def test_a_project_from_two_folders_runs(page, tmp_path, monkeypatch):
    """Every command of the page about `photos/` and `masks/`, in its order, on tiny photos.

    All but `usrn export`, which takes minutes for a real network; tests/export/ converts small ones.
    """
    monkeypatch.chdir(tmp_path)
    make_project()
    about_photos = [words for words in block_commands(PAGES[page]) if "quickstart" not in words]
    assert [words[0] for words in about_photos][:2] == ["init", "data"]
    for words in about_photos:
        if words[0] == "export":
            continue
        result = run(words)
        assert result.exit_code == 0, f"usrn {' '.join(words)}\n{result.output}"
    assert len(list((tmp_path / "predictions/overlays").glob("*.png"))) == 10


@pytest.mark.parametrize("page", CURRENT)
def test_scripts_and_files_exist(page):
    scripts = re.findall(
        r"(?:python |`)((?:benchmarks|recipes|tests|docs|usrn_keras)/[\w/]+\.\w+)", PAGES[page]
    )
    assert not [script for script in scripts if not (ROOT / script).exists()]
    assert not [file for file in SNIPPET.findall(PAGES[page]) if not (ROOT / file).exists()]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    links = [link for link in re.findall(r"\]\(([^):#]+)[^):]*\)", PAGES[page]) if link not in GENERATED]
    assert not [link for link in links if not (FILES[page].parent / link).exists()]


@pytest.mark.parametrize("page", CURRENT)
def test_keys_are_those_of_a_recipe(page):
    """Every `section.key` between backticks."""
    sections = all_sections()
    named = re.findall(rf"`({'|'.join(sections)})\.(?!json|png|py)(\w+)", PAGES[page])
    assert not [f"{section}.{key}" for section, key in named if key not in sections[section].model_fields]


def test_readme_is_one_screen_and_its_table_is_that_of_the_results():
    page = PAGES["README.md"]
    assert len(page.splitlines()) < 90
    ((source, table),) = RESULTS_MARK.findall(page)
    measured = cells_of((ROOT / source).read_text(encoding="utf-8"))[2:5]
    assert [row[1:] for row in cells_of(table)[2:]] == [row[1:3] for row in measured]


def cells_of(text: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_ci_runs_the_tests_as_the_readme_does():
    (command,) = re.findall(r"^    (pip install .* pytest .*)$", PAGES["README.md"], re.MULTILINE)
    assert f"({command})" in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_changelog_names_every_key_that_moved():
    table = "\n".join(line for line in PAGES["CHANGELOG.md"].splitlines() if line.startswith("|"))
    assert not [key for key in MOVED if key not in table]


def test_architecture_names_every_folder_and_existing_files():
    page = PAGES["architecture.md"]
    layout = page.partition("## The folders\n")[2].partition("\n## ")[0]
    named = set(re.findall(r"(\w+)/  ", layout))
    folders = {path.parent.name for path in (ROOT / "usrn_keras").glob("*/__init__.py")}
    assert folders <= named
    order = page.partition("## From a command to a training step\n")[2].partition("\n## ")[0]
    files = re.findall(r"^\d\. `([\w/]+\.py)`", order, re.MULTILINE)
    assert len(files) == 7
    for file in files:
        assert (ROOT / file).exists() or (ROOT / "usrn_keras" / file).exists(), file


def test_python_page_has_every_public_name():
    shown = set(re.findall(r"^::: usrn_keras\.(?:\w+\.)*(\w+)$", PAGES["python_api.md"], re.MULTILINE))
    assert shown == set(public_names) - {"__version__"}


def test_every_page_is_in_the_navigation():
    listed = re.findall(
        r"^ +- .+: ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE
    )
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").glob("**/*.md")]
    assert sorted(listed) == sorted([*pages, *GENERATED])


def test_generated_page_of_keys_has_every_key(generate):
    lines = generate.recipe_keys_page().splitlines()
    for section in recipe_keys():
        for key in section.keys:
            (row,) = [line for line in lines if line.startswith(f"| `{section.name}.{key.name}` |")]
            assert len(re.split(r"(?<!\\)\|", row)) == 6  # no bar of a description divides a cell


def test_generated_page_of_commands_has_every_command(generate):
    page = generate.commands_page()
    for name in ("usrn", "usrn fit", "usrn data check", "usrn recipes keys"):
        assert f" `{name}`\n" in page
    assert "--set SECTION.KEY=VALUE" in page and "Exit codes:" in page


def test_generated_tables_are_those_of_the_rows(generate):
    """`python docs/generate.py` writes them again."""
    page = PAGES["results.md"]
    assert {*generate.TABLES, "quickstart.md"} <= {name for _, name, _, _ in generate.TABLE.findall(page)}
    assert generate.with_tables(page) == page
    assert generate.with_tables(page.replace("| Road | 84.1", "| Road | 84.2")) == page
    assert "| Road | 84.1 ± 3.1 | 89.4 ± 1.4 | 90.5 ± 1.4 |" in page
    assert "| Seq05VD | 44.8 ± 2.3 | 11.0 ± 2.2 | 46.5 ± 1.6 | 13.2 ± 1.3 |" in page


def messages_of_the_package() -> list[str]:
    """Every string of the package; what is filled in is `...`."""
    found = []
    for path in [*(ROOT / "usrn_keras").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "..." for part in node.values]
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_messages_of_the_troubleshooting_page_exist():
    messages = messages_of_the_package()
    quoted = re.findall(r"^\| `([^`]+)` \|", PAGES["troubleshooting.md"], re.MULTILINE)
    assert len(quoted) > 20
    for message in quoted:
        pattern = re.compile(".*".join(re.escape(part) for part in message.split("...")), re.DOTALL)
        assert any(map(pattern.search, messages)), message
