"""Files that hosts and tools read: they parse, and agree with pyproject.toml, the version and the command."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
import yaml

from tests.tools import ROOT
from usrn_cli.main import VERBS
from usrn_keras._version import __version__

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = {line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)}
PAPER = "2203.10026"
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"))


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_citation_agrees_with_the_package():
    citation = yaml.safe_load(text("CITATION.cff"))
    assert citation["title"] == PROJECT["name"]
    assert str(citation["version"]) == __version__
    assert citation["license"] == PROJECT["license"]
    assert citation["keywords"] == PROJECT["keywords"]
    assert citation["abstract"].rstrip(".") == PROJECT["description"]
    assert citation["authors"] == PROJECT["authors"]
    assert {"cff-version", "message"} <= citation.keys()


def test_the_paper_is_cited():
    (paper,) = yaml.safe_load(text("CITATION.cff"))["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Guan", "Huang", "Xiao", "Lu"]
    assert paper["title"].startswith("Unbiased Subclass Regularization") and paper["year"] == 2022
    assert paper["url"].endswith(PAPER) and paper["identifiers"][0]["value"] == f"arXiv:{PAPER}"
    assert PAPER in text("usrn_keras/__init__.py")


def test_pythons_of_the_classifiers_are_those_required():
    least = tuple(map(int, PROJECT["requires-python"].removeprefix(">=").split(".")))
    assert min(tuple(map(int, version.split("."))) for version in PYTHONS) == least


def test_pre_commit_runs_the_ruff_of_the_checks():
    (repository,) = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    (version,) = re.findall(r"^ruff==(.+)$", text("constraints.txt"), re.MULTILINE)
    assert repository["repo"].endswith("/ruff-pre-commit") and repository["rev"] == f"v{version}"
    assert [hook["id"] for hook in repository["hooks"]] == ["ruff-check", "ruff-format"]


def test_there_is_a_form_for_bugs_features_and_questions():
    assert [path.stem for path in FORMS] == ["bug", "feature", "question"]
    assert yaml.safe_load(text(".github/ISSUE_TEMPLATE/config.yml")) == {"blank_issues_enabled": False}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_for_the_recipe_and_the_output_of_doctor(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form.keys() == {"name", "description", "labels", "body"}
    areas = {part["id"]: part for part in form["body"] if part["type"] == "textarea"}
    assert len(areas) == len([part for part in form["body"] if part["type"] != "markdown"])
    assert areas["recipe"]["attributes"]["render"] == "toml"
    assert areas["doctor"]["attributes"]["render"] == "json"
    assert re.search(r"`usrn doctor [^`]*--json`", areas["doctor"]["attributes"]["description"])
    required = {name for name, area in areas.items() if area.get("validations", {}).get("required")}
    assert required == ({"what", "recipe", "doctor"} if path.stem == "bug" else {next(iter(areas))})
    commands = re.findall(r"`usrn (?:--debug )?([a-z]+)", path.read_text(encoding="utf-8"))
    assert commands and {*commands} <= VERBS.keys()


def test_the_container_runs_the_command_as_a_user():
    lines = text("Dockerfile").splitlines()
    instructions = dict(line.split(" ", 1) for line in lines if re.match(r"[A-Z]+ ", line))
    assert lines[0].startswith("# Untested")
    assert re.fullmatch(r"python:(3\.\d+)-slim", instructions["FROM"])[1] in PYTHONS
    assert json.loads(instructions["ENTRYPOINT"])[0] in PROJECT["scripts"]
    assert instructions["USER"] == "usrn" and "useradd --create-home usrn" in instructions["RUN"]


def test_the_development_container_installs_the_tests():
    first, rest = text(".devcontainer/devcontainer.json").split("\n", 1)
    assert first.startswith("// Untested")
    container = json.loads(rest)
    assert container["image"].rpartition(":")[2] in PYTHONS
    (extra,) = re.findall(r"'\.\[(\w+)\]'", container["postCreateCommand"])
    assert extra in PROJECT["optional-dependencies"]


@pytest.mark.parametrize("page", ["SECURITY.md", "CODE_OF_CONDUCT.md", ".github/pull_request_template.md"])
def test_files_that_a_page_names_exist(page):
    named = re.findall(r"\]\(([^):#]+)\)|`(\w+/\S+\.py)`|\b([A-Z]+\.md)\b", text(page))
    files = {name for found in named for name in found if name}
    assert not [name for name in files if not (ROOT / name).exists()]
