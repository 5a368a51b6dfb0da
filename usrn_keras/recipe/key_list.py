"""Every key of a recipe with its type, default, range and description, read from the sections themselves."""

from __future__ import annotations

import difflib
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from usrn_keras.errors import RecipeError
from usrn_keras.recipe.plugins import find_options, method_names
from usrn_keras.recipe.schema import common_sections, options_section
from usrn_keras.recipe.section import Section

WIDTH = 100  # columns of a description


@dataclass(frozen=True)
class RecipeKey:
    """A key of a recipe.

    Attributes:
        name: Name of the key within its section.
        type: Type of its values in words, such as `integer` or `list of numbers`.
        choices: Values that it may take; empty: all of its type that are in the range.
        range: Range of its values, or of the entries of a list, such as `at least 0`; empty: no limit.
        required: Whether a recipe must hold it.
        default: Value where a recipe does not hold it; None for a key that is required.
        description: What it does.
    """

    name: str
    type: str
    choices: tuple[Any, ...]
    range: str
    required: bool
    default: Any
    description: str


@dataclass(frozen=True)
class SectionKeys:
    """A section of a recipe with its keys.

    Attributes:
        name: Name of the section.
        method: Value of `training.method` that reads it; empty: every method does.
        description: What the section is about.
        keys: Its keys, in the order of the documentation.
    """

    name: str
    method: str
    description: str
    keys: tuple[RecipeKey, ...]


def recipe_keys(section: str = "") -> list[SectionKeys]:
    """The sections of a recipe with all of their keys.

    Args:
        section: Name of the only section to list, or `MODULE:CLASS` of a method of your own; empty: every
            common section and the options of every method that has a name.

    Raises:
        RecipeError: There is no such section, or the class of a method cannot be imported.

    Example:

    >>> [key.name for key in recipe_keys("self_training")[0].keys]
    ['threshold', 'lambda_u']
    """
    if ":" in section:
        return _options_of([section])
    found = [_section(name, "", keys) for name, keys in common_sections().items()]
    found += _options_of(method_names())
    if not section:
        return found
    if chosen := [one for one in found if one.name == section]:
        return chosen
    names = [one.name for one in found]
    near = difflib.get_close_matches(section, names, n=1)
    raise RecipeError(
        f"no section {section!r} in a recipe; there are: {', '.join(names)}",
        hint=f"Did you mean `{near[0]}`?" if near else "`usrn recipes keys` lists all of them.",
    )


def keys_as_json(sections: Sequence[SectionKeys]) -> list[dict[str, Any]]:
    """The sections as JSON values."""
    return [asdict(section) for section in sections]


def keys_as_text(sections: Sequence[SectionKeys]) -> str:
    """The sections for a terminal: a heading, then two or more lines for each key."""
    return "\n\n".join(_section_text(section) for section in sections)


def _options_of(methods: Sequence[str]) -> list[SectionKeys]:
    options = {method: find_options(method) for method in methods}
    return [
        _section(options_section(method), method, section)
        for method, section in options.items()
        if section is not None
    ]


def _section(name: str, method: str, section: type[Section]) -> SectionKeys:
    schema = section.model_json_schema()
    required = schema.get("required", [])
    keys = tuple(_key(key, field, key in required) for key, field in schema.get("properties", {}).items())
    return SectionKeys(name, method, schema.get("description", "").partition("\n")[0], keys)


def _key(name: str, field: Mapping[str, Any], required: bool) -> RecipeKey:
    values = field
    while "items" in values:  # the limits of a list are those of its entries
        values = values["items"]
    return RecipeKey(
        name,
        _type(field),
        tuple(values.get("enum", ())),
        ", ".join([*_limits(values), *_length(field)]),
        required,
        field.get("default"),
        field.get("description", ""),
    )


def _type(field: Mapping[str, Any], plural: bool = False) -> str:
    if "items" in field:
        return f"list{'s' * plural} of {_type(field['items'], plural=True)}"
    return f"{field.get('type', 'value')}{'s' * plural}"


def _limits(field: Mapping[str, Any]) -> list[str]:
    words = {
        "minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below",
        "multipleOf": "a multiple of",
    }  # fmt: skip
    return [f"{word} {field[key]:g}" for key, word in words.items() if key in field]


def _length(field: Mapping[str, Any]) -> list[str]:
    least, most = field.get("minItems"), field.get("maxItems")
    if least is None:
        return []
    return [f"{least} entries" if least == most else f"{least} or more entries"]


def _section_text(section: SectionKeys) -> str:
    lines = textwrap.wrap(f"[{section.name}]  {section.description}", WIDTH, replace_whitespace=False)
    if section.method:
        lines.append(f"Options of a method: read with training.method = {json.dumps(section.method)}.")
    for key in section.keys:
        facts = [key.type, key.range, "required" if key.required else f"default {json.dumps(key.default)}"]
        lines += ["", f"  {section.name}.{key.name}: {'; '.join(filter(None, facts))}"]
        kind = "Entries" if isinstance(key.default, list) else "Values"
        allowed = f"{kind}: {', '.join(map(json.dumps, key.choices))}." if key.choices else ""
        for text in filter(None, (allowed, key.description)):
            lines += textwrap.wrap(
                text, WIDTH, initial_indent="      ", subsequent_indent="      ", break_on_hyphens=False
            )
    return "\n".join(lines)
