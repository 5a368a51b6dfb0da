"""Read the JSON of annotation tools: every problem becomes a line with file, place and what is allowed."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import Field

from usrn_keras.data.dataset import ErrorList

MAX_BYTES = 2**31  # of one file
PROBLEMS = 5  # listed of one file

Label = Annotated[str, Field(min_length=1)]
Side = Annotated[int, Field(ge=1, le=2**20)]  # pixels
Number = Annotated[float, Field(allow_inf_nan=False)]
Point = tuple[Number, Number]


class Part(pydantic.BaseModel):
    """An object of a JSON document; other keys are allowed and not read."""

    model_config = pydantic.ConfigDict(extra="ignore", frozen=True)


Document = TypeVar("Document", bound=Part)


def read_document(path: Path, shown: str, errors: ErrorList) -> Any:
    """Read a JSON file; None, and a line in `errors`, if it is not JSON.

    Args:
        path: Path of the file.
        shown: Name of the file in messages.
        errors: Receives the errors.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            errors.add(f"{shown} has {path.stat().st_size:,} bytes; the limit is {MAX_BYTES:,} bytes")
            return None
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        errors.add(f"{shown} cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        errors.add(f"{shown} is not text in UTF-8: save it with the encoding UTF-8")
    except json.JSONDecodeError as error:
        errors.add(f"{shown}, line {error.lineno}: not valid JSON: {error.msg}")
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, thousands of brackets
        errors.add(f"{shown} is not valid JSON: {error}")
    return None


def validate(kind: type[Document], value: Any, shown: str, errors: ErrorList) -> Document | None:
    """Check a JSON value; None, and a line in `errors` per problem, if it is not of this kind.

    Args:
        kind: Expected content.
        value: JSON value.
        shown: Name of the file in messages.
        errors: Receives the errors.

    Example:

    >>> class Size(Part):
    ...     width: Side
    >>> errors = ErrorList()
    >>> validate(Size, {"width": -3}, "a.json", errors), errors.lines
    (None, ('a.json, width: input should be greater than or equal to 1; received -3',))
    """
    try:
        return kind.model_validate(value)
    except pydantic.ValidationError as error:
        found = error.errors(include_url=False)
        for problem in found[:PROBLEMS]:
            where = place(problem["loc"])
            received = "" if problem["type"] == "missing" else f"; received {abridged(problem['input'])}"
            message = problem["msg"].removeprefix("Value error, ")
            errors.add(f"{shown}{', ' * bool(where)}{where}: {message[:1].lower()}{message[1:]}{received}")
        if len(found) > PROBLEMS:
            errors.add(f"{shown}: and {len(found) - PROBLEMS} more problems")
    return None


def place(keys: tuple[str | int, ...]) -> str:
    """Format a place in a JSON document.

    Example:

    >>> place(("shapes", 2, "points"))
    'shapes[2].points'
    """
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def abridged(value: Any) -> str:
    """A value in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def decode_base64(text: str) -> bytes:
    """Decode base64.

    Raises:
        ValueError: The text is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not base64: {error}") from error
