"""The layers of the package: an import leads down, never up or sideways, and never round in a circle.

Three things differ from the sketch that the layers began as. The strong view is a file of its own below
everything else, because `data` draws it and `methods` compute it, and neither may import the other. `report`
is above `data` and `subclasses`, whose pictures it shows, and `evaluation` above `report`, whose scores it
returns. `inspection` is no part of `data`: it uses the scores of `report` and the counts of `subclasses`.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.package_graph import PACKAGE, circles, imports, part, short

# From the lowest to the highest; the parts of one layer do not import each other.
LAYERS = (
    {"errors", "interrupts", "printable", "_version"},
    {"recipe", "metrics", "losses", "optimizers", "clustering", "damaged_files", "memory_errors"},
    {"files", "progress", "lazy_imports", "backend_choice", "strong_view"},
    {"optional", "machine", "lean_keras"},
    {"worker"},
    {"ranks"},
    {"backends"},
    {"networks", "data", "chunks"},
    {"methods", "subclasses", "pseudo_masks"},
    {"training", "runs", "report", "budget"},
    {"evaluation"},
    {"inspection", "project", "export", "serving", "hub"},
    {"stages"},
    {"sweeps"},
    {"doctor"},
)
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}
KNOW_NOBODY = ("recipe", "metrics", "losses", "optimizers", "clustering")

# Imports that break a rule and are known; `test_every_exception_is_still_needed` says which can go.
EXCEPTIONS: set[tuple[str, str]] = set()


def edges() -> list[tuple[str, str]]:
    return [
        (module, imported)
        for module, found in imports().items()
        for imported in sorted(found)
        if (short(module), short(imported)) not in EXCEPTIONS
    ]


def test_every_part_has_its_layer():
    """A new folder or file at the top of the package is placed here, once."""
    assert {part(module) for module in imports()} - {""} <= HEIGHT.keys()
    assert sum(map(len, LAYERS)) == len(HEIGHT)


def test_imports_lead_to_lower_layers():
    assert not [
        f"{module} imports {imported}"
        for module, imported in edges()
        if part(module) != part(imported)
        and part(module)
        and part(imported)
        and HEIGHT[part(imported)] >= HEIGHT[part(module)]
    ]


@pytest.mark.parametrize("name", KNOW_NOBODY)
def test_the_foundations_know_nobody(name):
    """Recipes, scores, losses, optimizers and clustering are of use without the rest."""
    known = {part(imported) for module, imported in edges() if part(module) == name}
    assert known <= {name, "errors"}


@pytest.mark.parametrize("name", ["runs", "report"])
def test_what_stages_write_does_not_import_them(name):
    assert not [
        (module, imported)
        for module, imported in edges()
        if part(module) == name and part(imported) in ("stages", "sweeps")
    ]


def test_nothing_inside_imports_the_face_of_the_package():
    """`import usrn_keras` gives names to users; inside, each name is imported from where it is defined."""
    assert not [module for module, imported in edges() if imported == PACKAGE]


def test_there_are_no_circles():
    """Imports inside functions and for type checkers count: a value object knows no loader and no view."""
    assert not circles(EXCEPTIONS)


def test_every_exception_is_still_needed():
    there = {(short(module), short(imported)) for module, found in imports().items() for imported in found}
    assert not sorted(EXCEPTIONS - there)


def test_looking_at_data_loads_no_keras():
    """`usrn data`, `init`, `split` and `runs` answer in a second: no backend is loaded for them."""
    parts = ("data", "inspection", "project", "pseudo_masks", "recipe", "runs.run_list", "subclasses")
    names = ", ".join(f"{PACKAGE}.{name}" for name in parts)
    heavy = "{'keras', 'torch', 'jax', 'tensorflow'}"
    code = f"import sys, {names}; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
