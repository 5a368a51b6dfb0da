"""Find methods by name: built-in methods, entry points, and `MODULE:CLASS`."""

from __future__ import annotations

import inspect

from usrn_keras.errors import RecipeError
from usrn_keras.methods.augseg import AugSeg
from usrn_keras.methods.base import Method
from usrn_keras.methods.cac import CAC
from usrn_keras.methods.cct import CCT
from usrn_keras.methods.cps import CPS
from usrn_keras.methods.crest import CReST
from usrn_keras.methods.dars import DARS
from usrn_keras.methods.dsbn import DSBN
from usrn_keras.methods.fixmatch import FixMatch
from usrn_keras.methods.gct import GCT
from usrn_keras.methods.prototype_ensemble import PrototypeEnsemble
from usrn_keras.methods.self_training import SelfTraining
from usrn_keras.methods.supervised import Supervised
from usrn_keras.methods.unimatch import UniMatch
from usrn_keras.methods.usrn import USRN
from usrn_keras.recipe.method_options import MethodOptions
from usrn_keras.recipe.plugins import plugin_class
from usrn_keras.recipe.schema import Recipe
from usrn_keras.recipe.stage_plan import Stage

METHODS: dict[str, type[Method]] = {
    method.method_name: method
    for method in (
        *(Supervised, SelfTraining, FixMatch, UniMatch, AugSeg, CPS, CAC, DARS, CReST, DSBN, CCT, GCT),
        *(USRN, PrototypeEnsemble),
    )
}


def find_method(name: str) -> type[Method]:
    """Find the class of a method.

    Args:
        name: Value of `training.method`.

    Raises:
        RecipeError: If no method has this name, its class cannot be imported, or parts of the contract are
            missing; the error lists all missing parts.

    Example:

    >>> find_method("usrn").title
    'USRN'
    """
    if name in METHODS:
        return METHODS[name]
    found = plugin_class(name)
    if errors := _missing_parts(found):
        raise RecipeError(
            f"training.method: {name!r} is not a complete method",
            errors=errors,
            hint="The docstring of usrn_keras.methods.Method shows a complete method of ten lines.",
        )
    return found


def stages_of(recipe: Recipe) -> tuple[Stage, ...]:
    """Return the stages of the method of a recipe.

    Args:
        recipe: Recipe of the run.
    """
    return tuple(find_method(recipe.training.method).stages(recipe))


def _missing_parts(found: object) -> list[str]:
    if not (inspect.isclass(found) and issubclass(found, Method)):
        return [f"it must be a subclass of usrn_keras.methods.Method, received {found!r}"]
    errors = []
    if not found.method_name:
        errors.append("`method_name`: missing; must be a class attribute, the name in run folders and tables")
    if not found.title:
        errors.append("`title`: missing; must be a class attribute, the title in tables and reports")
    if found.loss_parts is Method.loss_parts:
        errors.append("`loss_parts`: missing; must be a method that returns the parts of the objective")
    if found.Options is not None and not (
        inspect.isclass(found.Options) and issubclass(found.Options, MethodOptions)
    ):
        errors.append(
            "`Options`: must be a subclass of usrn_keras.recipe.method_options.MethodOptions, received "
            f"{found.Options!r}"
        )
    return errors
