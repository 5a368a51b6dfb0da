"""Every private name of Keras that the package uses: where, what for, and what to do when it is gone.

Keras may rename what begins with an underscore in any release. Then one of these tests fails, and its message
says what to change; nothing else in the package touches such names.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import keras
import pytest
from keras import layers

import usrn_keras

PACKAGE = Path(usrn_keras.__file__).parent
HOMES = ("backends/", "optimizers/", "optional.py")
"""Where private names may be used; `optional.py` holds back the import of TensorFlow."""


@dataclass(frozen=True)
class PrivateUse:
    """A private name of Keras.

    Attributes:
        files: Files that use it.
        purpose: What it is used for.
        instead: What to do when Keras no longer has it.
        owner: Makes an object that has it.
    """

    files: tuple[str, ...]
    purpose: str
    instead: str
    owner: Callable[[], object]


def functional() -> keras.Model:
    images = keras.Input((4, 4, 3))
    return keras.Model(images, layers.Conv2D(2, 1)(images))


def adam() -> keras.optimizers.Optimizer:
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build([keras.Variable([1.0])])
    return optimizer


def lazy_tensorflow() -> object:
    from keras.src.utils.module_utils import tensorflow

    return tensorflow


OPTIMIZERS = ("optimizers/sgd.py", "optimizers/groups.py")
USES = {
    "_nodes_by_depth": PrivateUse(
        ("backends/graph.py",),
        "the order of the layers of a functional model, for `plan_of`",
        "read the order from the public `model.operations`, or let `plan_of` return None: every network then "
        "runs by Keras' own call, slower and equal",
        functional,
    ),
    "_run_through_graph": PrivateUse(
        ("backends/graph.py",),
        "call a function for each layer of a graph, to count its operations",
        "clone the model with `keras.models.clone_model(call_function=...)`, or run the plan of `plan_of`",
        functional,
    ),
    "_flatten_layers": PrivateUse(
        ("backends/graph.py",),
        "all layers of a model, nested ones too",
        "walk `layer.layers` recursively",
        functional,
    ),
    "_call_has_training_arg": PrivateUse(
        ("backends/torch_layers.py", "backends/layer_operations.py"),
        "whether a layer takes `training`",
        "ask `inspect.signature(layer.call)`, once for each layer in its `Step`",
        lambda: layers.Dropout(0.1),
    ),
    "_value": PrivateUse(
        ("backends/jax.py", "backends/jax_ranks.py"),
        "give a variable the buffer that a compiled step returned, without a copy",
        "`variable.assign(value)`, and measure the memory and time of a step again",
        lambda: keras.Variable([1.0]),
    ),
    "_get_variable_index": PrivateUse(
        ("optimizers/adamw.py", "optimizers/learning_rates.py", "optimizers/sgd.py"),
        "the place of a variable in the lists of an optimizer",
        "keep a dict from `id(variable)` to its place in `build`",
        adam,
    ),
    "_trainable_variables": PrivateUse(
        OPTIMIZERS,
        "the variables that an optimizer was built with",
        "keep the list that `build` receives",
        adam,
    ),
    "_iterations": PrivateUse(
        OPTIMIZERS,
        "count a step that `Optimizer.apply` did not take",
        "`self.iterations.assign_add(1)`, if the property still gives the variable",
        adam,
    ),
    "_get_current_learning_rate": PrivateUse(
        ("optimizers/sgd.py",), "the rate of this step as a tensor", "`self.learning_rate`", adam
    ),
    "_backend_update_step": PrivateUse(
        ("optimizers/adamw.py",),
        "the hook that moves all variables at once",
        "override `apply`; without it AdamW moves one variable after the other, slower and equal",
        adam,
    ),
    "_momentums": PrivateUse(
        ("optimizers/adamw.py",), "Adam's means of gradients", "make them in `AdamW.build`", adam
    ),
    "_velocities": PrivateUse(
        ("optimizers/adamw.py",), "Adam's means of squared gradients", "make them in `AdamW.build`", adam
    ),
    "_learning_rate": PrivateUse(
        ("optimizers/learning_rates.py",),
        "the schedule, where the property gives its value at the current step",
        "keep the schedule where the optimizer is made (`stages/build.py`)",
        adam,
    ),
    "_available": PrivateUse(
        ("optional.py",),
        "keep Keras from importing TensorFlow beside another backend",
        "see whether it still does; if so, find its new check in `keras.src.utils.module_utils`",
        lazy_tensorflow,
    ),
}


@cache
def private_names() -> dict[str, set[str]]:
    """Private attributes that are read or set in each file and defined nowhere in the package, by name."""
    trees = {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in PACKAGE.rglob("*.py")
    }
    own = {name for tree in trees.values() for name in _defined(tree)} - USES.keys()
    own |= {"_replace"}  # public, of `typing.NamedTuple`
    found: dict[str, set[str]] = {}
    for file, tree in trees.items():
        defined_here = set(_defined(tree))
        for name, of_self in _used(tree):
            if name not in own and not (of_self and name in defined_here):
                found.setdefault(name, set()).add(file)
    return found


def _defined(tree: ast.AST) -> Iterator[str]:
    """Functions, methods, fields and attributes of `self` that a file makes."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
            yield node.attr


def _used(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Private attributes by name, and whether they are asked of `self`; names in `getattr` and alike, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not (
            isinstance(node.value, ast.Name) and node.value.id in ("torch", "sys", "os")
        ):
            name, of_self = node.attr, _is_self(node.value)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("getattr", "hasattr", "setattr")
            and isinstance(node.args[1], ast.Constant)
        ):
            name, of_self = node.args[1].value, False
        else:
            continue
        if name.startswith("_") and not name.startswith("__"):
            yield name, of_self


def _is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


@pytest.mark.parametrize("name", USES)
def test_keras_still_has_it(name):
    use = USES[name]
    assert hasattr(use.owner(), name), (
        f"Keras {keras.__version__} has no `{name}`, used in {', '.join(use.files)} for: {use.purpose}. "
        f"What to do: {use.instead}"
    )


def test_every_private_name_is_listed_with_its_files():
    found = {name: sorted(files) for name, files in private_names().items()}
    assert found == {name: sorted(use.files) for name, use in USES.items()}, "list it in USES, or avoid it"


def test_private_names_stay_in_the_files_of_the_backends():
    assert not [
        f"{file}: {name}"
        for name, files in private_names().items()
        for file in files
        if not file.startswith(HOMES)
    ]
    importing = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(
            (getattr(node, "module", None) or "").startswith("keras.src")
            or any(name.name.startswith("keras.src") for name in node.names)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, (ast.Import, ast.ImportFrom))
        )
    }
    assert importing == {"optional.py"}
