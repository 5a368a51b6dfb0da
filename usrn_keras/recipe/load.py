"""From a TOML file and `--set` overrides to a checked `Recipe`, every fault at once."""

from __future__ import annotations

import contextlib
import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pydantic

from usrn_keras.errors import RecipeError
from usrn_keras.recipe.contradictions import contradictions
from usrn_keras.recipe.schema import Recipe, Section

SECTIONS: dict[str, type[Section]] = {
    name: field.annotation for name, field in Recipe.model_fields.items() if name != "name"
}


def shipped_recipes() -> dict[str, Path]:
    """Names and files of the recipes in the package, such as `cityscapes_1_16`."""
    folder = Path(str(resources.files("usrn_recipes")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_recipe(source: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        source: Path of a TOML file, or the name of a shipped recipe.
        overrides: `section.key=value`; the value is TOML, a bare word is a string.

    Raises:
        RecipeError: The file is missing or no TOML, a key is unknown, a value has
            the wrong type or is out of range, or two keys contradict each other.

    Example:

    >>> load_recipe("quickstart", ["training.usrn_steps=10"]).training.usrn_steps
    10
    """
    path = _find(source)
    values = _read_toml(path)
    _root_beside_the_file(values, path)
    faults = [fault for text in overrides if (fault := _override(values, text))]
    faults += _unknown_keys(values)
    known = _known(values)
    try:
        recipe = Recipe(**known, name=path.stem)
    except pydantic.ValidationError as error:
        faults += [_describe(detail) for detail in error.errors()]
    faults += contradictions(_sections(known))
    if faults:
        hint = "Mend these in the file, or with --set. All keys: usrn recipes show quickstart"
        raise RecipeError(f"{path}: {len(faults)} fault(s)", faults=faults, hint=hint)
    return recipe


def _root_beside_the_file(values: dict[str, Any], path: Path) -> None:
    """A root in the file that begins with a dot goes from the folder of the file, which may be moved with it.

    Any other goes from the working directory, as all paths in `--set` do.
    """
    data = values.get("data")
    root = data.get("root") if isinstance(data, dict) else None
    if isinstance(root, str) and (root in (".", "..") or root.startswith(("./", "../"))):
        data["root"] = str((path.parent / root).resolve())


def _find(source: str) -> Path:
    return find_shipped("recipe", source, shipped_recipes(), hint="`usrn recipes list` lists them.")


def find_shipped(kind: str, source: str, shipped: Mapping[str, Path], *, hint: str) -> Path:
    """The file that a name or a path stands for.

    Args:
        kind: What it is, for the message.
        source: Name of a shipped file, or a path.
        shipped: Files by name.
        hint: What to do where no name is near.

    Raises:
        RecipeError: It is neither.
    """
    if source in shipped:
        return shipped[source]
    path = Path(source)
    if path.is_file():
        return path
    near = difflib.get_close_matches(source, shipped, n=1)
    raise RecipeError(
        f"no {kind} {source!r}: neither a file nor a shipped {kind} ({', '.join(shipped)})",
        hint=f"Did you mean `{near[0]}`?" if near else hint,
    )


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"{path} is not TOML: {error}", hint="`usrn recipes show quickstart` shows one."
        ) from None
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}") from None


def _override(values: dict[str, Any], text: str) -> str | None:
    """Put `section.key=value` into `values`; return the fault if the text is not of that form."""
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and key):
        return f"--set {text}: must be section.key=value, such as training.usrn_steps=1000"
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    if not isinstance(parsed, str) and _is_text(section, key):
        parsed = value.strip()  # TOML takes the split 1_8 for the number 18
    table = values.setdefault(section, {})
    if isinstance(table, dict):
        table[key] = parsed
    return None


def _is_text(section: str, key: str) -> bool:
    field = SECTIONS[section].model_fields.get(key) if section in SECTIONS else None
    return field is not None and field.annotation is str


def _unknown_keys(values: dict[str, Any]) -> list[str]:
    faults = []
    for section, table in values.items():
        if section not in SECTIONS:
            faults.append(_unknown(section, section, SECTIONS, "section"))
        elif isinstance(table, dict):
            keys = SECTIONS[section].model_fields
            faults += [_unknown(f"{section}.{key}", key, keys, "key") for key in table if key not in keys]
    return faults


def _unknown(path: str, name: str, allowed: Any, kind: str) -> str:
    near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
    elsewhere = [other for other, model in SECTIONS.items() if name in model.model_fields]
    if near:
        advice = f"did you mean `{near[0]}`?"
    elif elsewhere:
        advice = f"it belongs to [{elsewhere[0]}]"
    else:
        advice = f"allowed: {', '.join(allowed)}"
    return f"{path}: unknown {kind}; {advice}"


def _known(values: dict[str, Any]) -> dict[str, Any]:
    """The part of `values` whose keys exist (the others are reported already)."""
    known = {}
    for section, table in values.items():
        if section in SECTIONS:
            keys = SECTIONS[section].model_fields
            known[section] = (
                {k: v for k, v in table.items() if k in keys} if isinstance(table, dict) else table
            )
    return known


def _describe(detail: Any) -> str:
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "missing":
        kind = "section" if len(detail["loc"]) == 1 else "key"
        return f"{path}: missing; this {kind} is required"
    message = detail["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return f"{path}: {message}, received {detail['input']!r}{_nearest(detail)}"


def _nearest(detail: Any) -> str:
    """The allowed word that was probably meant."""
    if detail["type"] != "literal_error":
        return ""
    allowed = filter(None, re.findall(r"'([^']*)'", detail["ctx"]["expected"]))
    near = difflib.get_close_matches(str(detail["input"]), [*allowed], n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def _sections(values: dict[str, Any]) -> dict[str, Section]:
    """The sections whose own keys are right, so that what contradicts in them is told at once."""
    sections = {}
    for name, section in SECTIONS.items():
        with contextlib.suppress(pydantic.ValidationError, TypeError):
            sections[name] = section(**values.get(name, {}))
    return sections
