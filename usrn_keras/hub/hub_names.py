"""Names of repositories and licences, checked before anything is written."""

from __future__ import annotations

import re

from usrn_keras.errors import ExportError

# The rules of `huggingface_hub.utils.validate_repo_id`, checked here so that a dry run needs no package.
PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
LONGEST = 96
LICENCE = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")


def check_repository(name: str) -> None:
    """Check that a name is that of a repository on the Hub, `owner/name`.

    Raises:
        ExportError: It is not; the error lists everything that is wrong.

    Example:

    >>> check_repository("ada/street-scenes")
    """
    parts = name.split("/")
    errors = []
    if len(parts) != 2:
        errors.append("it must be an owner and a name with one slash between them")
    for part in parts:
        if not PART.fullmatch(part):
            errors.append(
                f"{part!r} must consist of letters, digits, '-', '_' and '.', and begin and end with a "
                "letter or digit"
            )
    if "--" in name or ".." in name:
        errors.append("it must not contain '--' or '..'")
    if name.endswith(".git"):
        errors.append("it must not end with '.git'")
    if len(parts[-1]) > LONGEST:
        errors.append(f"the name must have at most {LONGEST} characters, received {len(parts[-1])}")
    if errors:
        raise ExportError(
            f"{name!r} is not the name of a repository", errors=errors, hint="Example: ada/street-scenes"
        )


def check_licence(licence: str) -> None:
    """Check that a licence is an identifier of the Hub, such as `cc-by-4.0`.

    Raises:
        ExportError: It is not.
    """
    if not LICENCE.fullmatch(licence):
        raise ExportError(
            f"the licence must be an identifier in small letters, digits, '.' and '-', received {licence!r}",
            hint="Examples: apache-2.0, mit, cc-by-4.0, cc-by-nc-4.0, other. The terms of your images and of "
            "pretrained weights limit your choice.",
        )
