"""Shell completion: commands, recipes, tables, keys with their values, splits and models."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete

from usrn_cli.main import main
from usrn_keras.recipe import shipped_recipes
from usrn_keras.recipe.plugins import method_names
from usrn_keras.sweeps.spec import shipped_tables


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def completed(line: str) -> list[str]:
    """What the last word of a line after `usrn` may become; None for the names of files."""
    *words, incomplete = line.split(" ")
    found = ShellComplete(main, {}, "usrn", "_USRN_COMPLETE").get_completions(words, incomplete)
    return [None if item.type == "file" else item.value for item in found]


@pytest.mark.parametrize(
    "verb",
    ["fit", "data check", "data show", "split", "cluster", "doctor", "evaluate --recipe", "table main"],
)
def test_recipes_complete(verb, folder):
    assert completed(f"{verb} ") == list(shipped_recipes())
    assert completed(f"{verb} cityscapes_1_3") == ["cityscapes_1_32"]
    assert completed(f"{verb} other/") == [None]
    (folder / "quick.toml").touch()
    assert completed(f"{verb} qui") == ["quickstart", "quick.toml"]


def test_tables_commands_and_sections_complete():
    assert completed("table ") == list(shipped_tables())
    assert completed("recipes sh") == ["show"]
    assert completed("recipes copy camvid_1_1") == ["camvid_1_16"]
    assert completed("recipes keys self") == ["self_training"]
    assert completed("export runs/x --format on") == ["onnx"]


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("training.baseline", ["training.baseline_steps="]),
        ("views.crop_size=", ["views.crop_size="]),
        ("usrn.gate=", ["usrn.gate=fallback", "usrn.gate=stop", "usrn.gate=off"]),
        ("usrn.ga", ["usrn.gate=", "usrn.gate_level="]),
        ("usrn.gate_l", ["usrn.gate_level=subclass", "usrn.gate_level=class"]),
        ("network.output_stride=1", ["network.output_stride=16"]),
        ("views.labelled_jitter=t", ["views.labelled_jitter=true"]),
        ("usrn.gat=", ["usrn.gat="]),
        ("zzz", []),
    ],
)
def test_settings_complete(word, values):
    assert completed(f"fit quickstart --set {word}") == values


def test_methods_complete():
    assert completed("fit x.toml --set training.method=") == [f"training.method={m}" for m in method_names()]
    assert completed("evaluate runs/x --model ") == ["baseline", *method_names()]
    assert completed("evaluate runs/x --model self") == ["self_training"]


def test_splits_of_the_recipe_complete():
    assert completed("fit voc_1_32 --set data.split=1_") == [f"data.split=1_{n}" for n in (16, 32, 64)]
    assert completed("table main camvid_1_8 --splits 1_8,1_") == ["1_8,1_16", "1_8,1_4", "1_8,1_8"]
    assert completed("fit missing.toml --set data.split=") == []


BASH = """
eval "$(_USRN_COMPLETE=bash_source usrn)"
compopt() { [[ $2 == nospace ]] && nospace=1; }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_usrn_completion usrn
printf '%s\\n' "${COMPREPLY[@]}" "${nospace:+(no space)}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="Bash is not installed")
@pytest.mark.parametrize(
    ("words", "replies"),  # Bash splits words at "=" and replaces the last part
    [
        (["fit", "cityscapes_1_3"], ["cityscapes_1_32"]),
        (["fit", "quickstart", "--set", "usrn.lambda_s"], ["usrn.lambda_sub=", "(no space)"]),
        (["fit", "quickstart", "--set", "usrn.gate", "=", "st"], ["stop"]),
        (["fit", "quickstart", "--set", "usrn.gate", "="], ["fallback", "stop", "off"]),
        (["fit", "quickstart", "--set", "=", "usrn.gate", "=", "st"], ["stop"]),
        (["fit", "quickstart", "--set", "=", "usrn.lambda_s"], ["usrn.lambda_sub=", "(no space)"]),
    ],
)
def test_completion_in_bash(words, replies, folder):
    script = folder / "usrn"
    script.write_text(f"#!{sys.executable}\nfrom usrn_cli.main import main\nmain()\n")
    script.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH, "bash", "usrn", *words],
        capture_output=True, text=True, env=environment, check=True,
    )  # fmt: skip
    assert (done.stdout.split("\n")[: len(replies)], done.stderr) == (replies, "")


def test_the_help_says_how_to_enable_completion():
    for shell in ("bash", "zsh", "fish"):
        line = main.get_help(main.make_context("usrn", [], resilient_parsing=True))
        assert f"_USRN_COMPLETE={shell}_source usrn" in line
