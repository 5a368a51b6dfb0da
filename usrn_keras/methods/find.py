"""Methods by name: those of this package, of entry points, and `MODULE:CLASS`."""

from __future__ import annotations

import inspect

from usrn_keras.errors import RecipeError
from usrn_keras.methods.base import Method
from usrn_keras.methods.prototype_ensemble import PrototypeEnsemble
from usrn_keras.methods.self_training import SelfTraining
from usrn_keras.methods.supervised import Supervised
from usrn_keras.methods.usrn import USRN
from usrn_keras.recipe.method_options import MethodOptions
from usrn_keras.recipe.plugins import plugin_class
from usrn_keras.recipe.schema import Recipe
from usrn_keras.recipe.stage_plan import Stage

METHODS: dict[str, type[Method]] = {
    method.method_name: method for method in (Supervised, SelfTraining, USRN, PrototypeEnsemble)
}


def find_method(name: str) -> type[Method]:
    """The class of a method.

    Args:
        name: What `training.method` takes.

    Raises:
        RecipeError: No method has this name, its class cannot be imported, or it lacks a part of the
            contract; everything that it lacks is named.

    Example:

    >>> find_method("usrn").title
    'USRN'
    """
    if name in METHODS:
        return METHODS[name]
    found = plugin_class(name)
    if errors := _missing_parts(found):
        raise RecipeError(
            f"training.method: {name!r} is no complete method",
            errors=errors,
            hint="A method is a subclass of usrn_keras.methods.Method; its docstring shows one of ten lines.",
        )
    return found


def stages_of(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages that the method of a recipe asks for.

    Args:
        recipe: The recipe.
    """
    return tuple(find_method(recipe.training.method).stages(recipe))


def _missing_parts(found: object) -> list[str]:
    if not (inspect.isclass(found) and issubclass(found, Method)):
        return [f"it must be a subclass of usrn_keras.methods.Method, received {found!r}"]
    errors = []
    if not found.method_name:
        errors.append("`method_name`: missing; a class attribute, the name in run folders and tables")
    if not found.title:
        errors.append("`title`: missing; a class attribute, the heading in tables and reports")
    if found.loss_parts is Method.loss_parts:
        errors.append("`loss_parts`: missing; it gives the parts of the objective")
    if found.Options is not None and not (
        inspect.isclass(found.Options) and issubclass(found.Options, MethodOptions)
    ):
        errors.append(
            "`Options`: must be a subclass of usrn_keras.recipe.method_options.MethodOptions, received "
            f"{found.Options!r}"
        )
    return errors
