"""Which requests a page of this machine answers, and the HTTP status and sentence for the others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import parse_qs

from usrn_keras.data.decoding.decode import ImageSizeError
from usrn_keras.data.decoding.images import ImageKindError
from usrn_keras.data.decoding.unreadable import ImageFormatError
from usrn_keras.errors import DataError
from usrn_keras.memory_errors import ran_out_of_memory
from usrn_keras.printable import printable

NAME_LENGTH = 200  # characters of a file name that are kept
ANOTHER_PHOTO = "Choose another photo, or save this one again as JPEG or PNG."
_THIS_MACHINE = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?", re.IGNORECASE)


class RefusedRequest(Exception):
    """A request that is not answered.

    Args:
        status: HTTP status.
        message: What is wrong.
        hint: Next step for the user.
    """

    def __init__(self, status: HTTPStatus, message: str, hint: str = ""):
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint


def check_host(headers: Mapping[str, str]) -> None:
    """Check that a request names this machine: any other name was led here (DNS rebinding).

    The port may be another one, as that of a tunnel (`ssh -L`).

    Raises:
        RefusedRequest: The host is another one.

    Example:

    >>> check_host({"Host": "localhost:8765"})
    >>> check_host({"Host": "example.org"})
    Traceback (most recent call last):
    ...
    usrn_keras.serving.request_checks.RefusedRequest: the host must be 127.0.0.1 or localhost, ...
    """
    host = headers.get("Host", "")
    if not _THIS_MACHINE.fullmatch(host):
        raise RefusedRequest(
            HTTPStatus.FORBIDDEN,
            f"the host must be 127.0.0.1 or localhost, received {printable(host)[:NAME_LENGTH]!r}",
        )


def check_origin(headers: Mapping[str, str]) -> None:
    """Check that no page of another site sends a photo. Programs other than browsers send no origin.

    Raises:
        RefusedRequest: The browser names another origin.
    """
    origin = headers.get("Origin", f"http://{headers.get('Host')}")
    site = headers.get("Sec-Fetch-Site", "same-origin")
    if origin != f"http://{headers.get('Host')}" or site != "same-origin":
        raise RefusedRequest(
            HTTPStatus.FORBIDDEN, f"the page of another site may not send photos: {printable(origin)[:200]}"
        )


def upload_size(headers: Mapping[str, str]) -> int:
    """Size of the body of a request in bytes.

    Raises:
        RefusedRequest: The request does not say the size of its body.
    """
    length = headers.get("Content-Length", "")
    if "Transfer-Encoding" in headers or not length:
        raise RefusedRequest(HTTPStatus.LENGTH_REQUIRED, "the request does not say the size of the photo")
    if not (length.isascii() and length.isdecimal()):
        raise RefusedRequest(
            HTTPStatus.BAD_REQUEST, f"Content-Length must be a number of bytes, received {length[:40]!r}"
        )
    return int(length[:20])  # a longer number is above every limit, too


def upload_name(query: str) -> str:
    """Name of the photo: the last part of `name` in the query of the address.

    Example:

    >>> upload_name("name=C%3A%5Cphotos%5Cwood.jpg"), upload_name("")
    ('wood.jpg', 'photo')
    """
    name = parse_qs(query, errors="replace").get("name", [""])[0].replace("\\", "/").rpartition("/")[2]
    return printable(name.replace("\n", " ").replace("\t", " ")).strip()[:NAME_LENGTH] or "photo"


def refusal(error: Exception) -> RefusedRequest | None:
    """The answer to an error of decoding or prediction; None for an internal error."""
    if isinstance(error, RefusedRequest):
        return error
    if isinstance(error, ImageSizeError):
        return RefusedRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error.message, error.hint)
    if isinstance(error, (ImageFormatError, ImageKindError)):
        hint = error.hint if isinstance(error, ImageKindError) else ANOTHER_PHOTO
        return RefusedRequest(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, error.message, hint)
    if isinstance(error, DataError):
        return RefusedRequest(HTTPStatus.BAD_REQUEST, error.message, ANOTHER_PHOTO)
    if ran_out_of_memory(error):
        return RefusedRequest(
            HTTPStatus.INSUFFICIENT_STORAGE,
            "the memory of this machine is not sufficient for the photo",
            "Start `usrn serve` with --mode slide, make it smaller, or close other programs.",
        )
    return None
