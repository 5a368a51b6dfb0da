"""Find methods by name: built-in methods, entry points, and `MODULE:CLASS`."""

from __future__ import annotations

import difflib
import importlib
import inspect
from importlib import metadata
from typing import Any

from usrn_keras.errors import RecipeError
from usrn_keras.recipe.method_options import METHOD_OPTIONS, MethodOptions

ENTRY_POINTS = "usrn_keras.methods"


def method_names() -> list[str]:
    """Return the names that `training.method` accepts in addition to `MODULE:CLASS`."""
    installed = [point.name for point in metadata.entry_points(group=ENTRY_POINTS)]
    return [*METHOD_OPTIONS, *(name for name in installed if name not in METHOD_OPTIONS)]


def find_options(method: str) -> type[MethodOptions] | None:
    """Return the section with the options of a method; None for a method without options.

    Raises:
        RecipeError: If no method has this name, or its class cannot be imported.
    """
    if method in METHOD_OPTIONS:
        return METHOD_OPTIONS[method]
    options = getattr(plugin_class(method), "Options", None)
    # `find_method` reports any other value, together with all else that the class lacks.
    return options if inspect.isclass(options) and issubclass(options, MethodOptions) else None


def plugin_class(method: str) -> Any:
    """Import the class of a method from outside this package.

    Args:
        method: `MODULE:CLASS`, or the name of an entry point in the group `usrn_keras.methods`.

    Raises:
        RecipeError: If no method has this name, or its class cannot be imported.
    """
    if ":" not in method:
        points = {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}
        if method not in points:
            raise RecipeError(_unknown(method))
        return _imported(method, points[method].value)
    return _imported(method, method)


def _unknown(method: str) -> str:
    names = method_names()
    near = difflib.get_close_matches(method, names, n=1)
    guess = f"; did you mean `{near[0]}`?" if near else ""
    return (
        f"training.method: must be one of {', '.join(names)}, or MODULE:CLASS of your own method, "
        f"received {method!r}{guess}"
    )


def _imported(method: str, target: str) -> Any:
    module, _, name = target.partition(":")
    try:
        found = importlib.import_module(module)
    except Exception as error:  # a module may raise anything when it is imported
        raise RecipeError(
            f"training.method: {method!r} cannot be imported: {type(error).__name__}: {error}",
            hint=f"Install the package that provides {module}, or add its folder to PYTHONPATH.",
        ) from error
    if not hasattr(found, name):
        near = difflib.get_close_matches(name, vars(found), n=1)
        guess = f"; did you mean `{near[0]}`?" if near else ""
        raise RecipeError(
            f"training.method: module {module} has no class {name!r}, received {method!r}{guess}"
        )
    return getattr(found, name)
