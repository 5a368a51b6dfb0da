"""Load a TOML file with `--set` overrides as a validated `Recipe`; all errors are reported at once."""

from __future__ import annotations

import contextlib
import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic

from usrn_keras.errors import RecipeError
from usrn_keras.recipe.checks import contradictions
from usrn_keras.recipe.method_options import METHOD_OPTIONS, USRNOptions
from usrn_keras.recipe.old_keys import method_of_earlier_version, moved_key, upgrade
from usrn_keras.recipe.plugins import find_options
from usrn_keras.recipe.schema import (
    Recipe,
    TrainingSection,
    all_sections,
    common_sections,
    options_section,
    recipe_class,
)
from usrn_keras.recipe.section import Section
from usrn_keras.recipe.shipped import RECIPES
from usrn_keras.recipe.toml_file import parse_toml, read_toml

LONGEST_VALUE = 200  # characters of a value that an error repeats
DEFAULT_METHOD = TrainingSection.model_fields["method"].get_default()


def shipped_recipes() -> dict[str, Path]:
    """Return the files of the recipes in the package by name, such as `cityscapes_1_16`."""
    return RECIPES.by_name()


def load_recipe(source: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe.

    Args:
        source: Path of a TOML file, or name or path of a shipped recipe, such as `quickstart` or
            `recipes/quickstart.toml`. A local file takes precedence.
        overrides: Overrides of the form `section.key=value`; the value is TOML, and a bare word is a string.

    Raises:
        RecipeError: If the file is missing or is not TOML, a key is unknown, a value has
            the wrong type or is out of range, or two keys contradict each other.

    Example:

    >>> load_recipe("quickstart", ["training.usrn_steps=10"]).training.usrn_steps
    10
    """
    path = RECIPES.find(source)
    values = read_toml(path)
    _resolve_root(values, path)
    before = _option_sections(values)
    errors = [error for text in overrides if (error := _override(values, text))]
    if _option_sections(values) != before:  # by --set: options of the file's own method may not apply
        _drop_unused_options(values, before, {text.partition("=")[0].strip() for text in overrides})
    return _checked(values, path.stem, errors, source=str(path))


def build_recipe(values: Mapping[str, Any], name: str) -> Recipe:
    """Build a recipe from its tables by section, as returned by `Recipe.model_dump`.

    Args:
        values: Keys and values of each section.
        name: Name of the recipe.

    Raises:
        RecipeError: See `load_recipe`.
    """
    return _checked({section: dict(table) for section, table in values.items()}, name, [], source=name)


def load_run_recipe(path: Path) -> Recipe:
    """Read the recipe of a run folder; recipes of earlier versions are converted.

    Args:
        path: Path of the run's `recipe.toml`.

    Raises:
        RecipeError: See `load_recipe`.
    """
    return _checked(upgrade(read_toml(path)), path.stem, [], source=str(path))


def _checked(values: dict[str, Any], name: str, errors: list[str], *, source: str) -> Recipe:
    """Validate the values; raise one `RecipeError` that lists every error."""
    method = _method(values)
    try:
        options = find_options(method)
    except RecipeError as error:
        errors.append(error.message)
        values.pop(options_section(method), None)  # its keys are unknown
        options, method = METHOD_OPTIONS[DEFAULT_METHOD], DEFAULT_METHOD
    own = {} if options is None else {options_section(method): options}
    if _with_usrn(values):
        own.setdefault("usrn", USRNOptions)
    sections = common_sections() | own
    errors += _unknown_keys(values, sections, method_of_earlier_version(values, method))
    known = _known(values, sections)
    try:
        recipe = recipe_class(*own.items())(**known, name=name)
    except pydantic.ValidationError as error:
        errors += [_describe(detail) for detail in error.errors()]
    errors += contradictions(_valid_sections(known, sections), options_section(method))
    if errors:
        raise RecipeError(
            f"{source}: {len(errors)} error(s)",
            errors=errors,
            hint="Fix them in the file, or override them with --set. `usrn recipes keys` lists all keys.",
        )
    return recipe


def _method(values: Mapping[str, Any]) -> str:
    training = values.get("training")
    method = training.get("method", DEFAULT_METHOD) if isinstance(training, dict) else DEFAULT_METHOD
    return method if isinstance(method, str) else DEFAULT_METHOD


def _option_sections(values: Mapping[str, Any]) -> list[str]:
    """The section of the method, and `usrn` if USRN is put on top of it."""
    return [options_section(_method(values)), *["usrn"] * _with_usrn(values)]


def _drop_unused_options(values: dict[str, Any], before: Sequence[str], overridden: set[str]) -> None:
    """Drop the options of the file that do not apply to the method of the overrides.

    Some keys of `[usrn]` hold for the method of the paper alone, and one holds on top of a host alone.

    Args:
        values: Tables of the recipe by section, with the overrides.
        before: Sections with options that apply without the overrides.
        overridden: Keys of the overrides, such as `usrn.gate`, which are kept.
    """
    method, *on_top = _option_sections(values)
    for section in before:
        table = values.get(section)
        if section not in (method, *on_top):
            if not any(key.startswith(f"{section}.") for key in overridden):
                values.pop(section, None)
        elif section == "usrn" and isinstance(table, dict):
            unused = set(USRNOptions.alone if on_top else USRNOptions.on_top)
            unused -= {key.removeprefix("usrn.") for key in overridden}
            values[section] = {key: value for key, value in table.items() if key not in unused}


def _with_usrn(values: Mapping[str, Any]) -> bool:
    training = values.get("training")
    return isinstance(training, dict) and training.get("with_usrn") is True


def _resolve_root(values: dict[str, Any], path: Path) -> None:
    """Resolve a `data.root` that begins with a dot relative to the recipe file, so that both can be moved.

    Other roots, and all paths in `--set`, are relative to the working directory.
    """
    data = values.get("data")
    root = data.get("root") if isinstance(data, dict) else None
    if isinstance(root, str) and (root in (".", "..") or root.startswith(("./", "../"))):
        data["root"] = str((path.parent / root).resolve())


def _override(values: dict[str, Any], text: str) -> str | None:
    """Put `section.key=value` into `values`; return an error if the text is not of that form."""
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and key):
        return f"--set {text}: must be section.key=value, such as training.usrn_steps=1000"
    try:
        parsed = parse_toml(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    except ValueError as error:  # too deep, or too many digits
        return f"--set {section}.{key}: {error}"
    if not isinstance(parsed, str) and _is_text(section, key):
        parsed = value.strip()  # TOML takes the split 1_8 for the number 18
    table = values.setdefault(section, {})
    if isinstance(table, dict):
        table[key] = parsed
    return None


def _is_text(section: str, key: str) -> bool:
    sections = all_sections()
    field = sections[section].model_fields.get(key) if section in sections else None
    return field is not None and field.annotation is str


def _unknown_keys(values: Mapping[str, Any], sections: Mapping[str, type[Section]], method: str) -> list[str]:
    errors = []
    for section, table in values.items():
        if section in sections:
            if isinstance(table, dict):
                keys = sections[section].model_fields
                errors += [_unknown_key(section, key, sections, method) for key in table if key not in keys]
        elif section in METHOD_OPTIONS:
            plugin = " or training.with_usrn = true" if section == "usrn" else ""
            errors.append(
                f"[{section}]: used only with training.method = {section!r}{plugin}, received "
                f"training.method = {method!r}; remove the section, or choose that method"
            )
        else:
            errors.append(f"{section}: unknown section; {_advice(section, sections)}")
    return errors


def _unknown_key(section: str, key: str, sections: Mapping[str, type[Section]], method: str) -> str:
    path = f"{section}.{key}"
    if moved := moved_key(path, method):
        return f"{path}: {moved}"
    owners = [other for other, model in sections.items() if key in model.model_fields]
    return f"{path}: unknown key; {_advice(key, sections[section].model_fields, owners)}"


def _advice(name: str, allowed: Any, owners: Sequence[str] = ()) -> str:
    if near := difflib.get_close_matches(name, allowed, n=1, cutoff=0.5):
        return f"did you mean `{near[0]}`?"
    return f"it belongs to [{owners[0]}]" if owners else f"allowed: {', '.join(allowed)}"


def _known(values: Mapping[str, Any], sections: Mapping[str, type[Section]]) -> dict[str, Any]:
    """Return the part of `values` whose keys exist; unknown keys are already reported."""
    return {
        section: {key: value for key, value in table.items() if key in sections[section].model_fields}
        if isinstance(table, dict)
        else table
        for section, table in values.items()
        if section in sections
    }


def _describe(detail: Any) -> str:
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "missing":
        kind = "section" if len(detail["loc"]) == 1 else "key"
        return f"{path}: missing; this {kind} is required"
    message = detail["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return f"{path}: {message}, received {_shortened(repr(detail['input']))}{_nearest(detail)}"


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}... ({len(text):,} characters)"


def _nearest(detail: Any) -> str:
    """Suggest the most similar allowed value."""
    if detail["type"] != "literal_error":
        return ""
    allowed = filter(None, re.findall(r"'([^']*)'", detail["ctx"]["expected"]))
    near = difflib.get_close_matches(str(detail["input"]), [*allowed], n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def _valid_sections(values: Mapping[str, Any], sections: Mapping[str, type[Section]]) -> dict[str, Section]:
    """Build the valid sections, so that contradictions between them are reported as well."""
    valid = {}
    for name, section in sections.items():
        with contextlib.suppress(pydantic.ValidationError, TypeError):
            valid[name] = section(**values.get(name, {}))
    return valid
