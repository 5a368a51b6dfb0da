"""The requests of the page: GET / and /model, POST /segment with the bytes of a photo."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import traceback
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from usrn_keras.serving.photo_answer import answer_form
from usrn_keras.serving.photo_page import PAGE, SECURITY_HEADERS
from usrn_keras.serving.request_checks import (
    RefusedRequest,
    check_host,
    check_origin,
    refusal,
    upload_name,
    upload_size,
)

if TYPE_CHECKING:
    from usrn_keras.serving.photo_model import PhotoModel
    from usrn_keras.serving.upload_limits import UploadLimits

PART = 2**16  # bytes read at once
DISCARDED = 2**30  # bytes of a refused body that are read
DISCARD_SECONDS = 1.0  # without a byte


Reply = tuple[str, bytes]  # content type and content


class PhotoService(Protocol):
    """What answers need of the server.

    Attributes:
        model: Model that segments the photos.
        limits: Limits of a photo.
        log: Called with a line for each photo and each internal error.
    """

    model: PhotoModel
    limits: UploadLimits
    log: Callable[[str], None]

    def predict(self, call: Callable[[], Reply]) -> Reply:
        """Run a function in the thread that predicts, when it is its turn."""


class PhotoRequests(BaseHTTPRequestHandler):
    """Answer the requests of one connection; every answer that is no success is a sentence in JSON."""

    server: PhotoService
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "usrn", ""
    timeout = 60  # seconds without a byte
    body_was_read = True

    def do_GET(self) -> None:
        """Answer with the page, or with facts about the model."""
        self._answer({"/": self._page, "/model": self._model})

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Answer with the prediction of the photo in the body."""
        self.body_was_read = False
        self._answer({"/segment": self._segment})

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a request that the base class cannot read, or whose method is unknown."""
        self.body_was_read = False
        self._refuse(RefusedRequest(HTTPStatus(code), message or HTTPStatus(code).description))

    def log_message(self, format: str, *args: object) -> None:
        """Log no requests: the server logs photos."""

    def _answer(self, pages: dict[str, Callable[[], Reply]]) -> None:
        try:
            check_host(self.headers)
            page = pages.get(urlsplit(self.path).path)
            if page is None:
                raise RefusedRequest(HTTPStatus.NOT_FOUND, "there is no such page")
            kind, content = page()
        except RefusedRequest as refused:
            self._refuse(refused)
        else:
            self._send(HTTPStatus.OK, kind, content)

    def _page(self) -> Reply:
        return "text/html; charset=utf-8", PAGE

    def _model(self) -> Reply:
        model, limits = self.server.model, self.server.limits
        facts = {
            "name": model.name,
            "classes": model.classes,
            "palette": model.palette.tolist(),
            "bytes": limits.bytes,
            "pixels": limits.pixels,
        }
        return "application/json", json.dumps(facts).encode()

    def _segment(self) -> Reply:
        check_origin(self.headers)
        name = upload_name(urlsplit(self.path).query)
        try:
            content = self._body(name)
            return self.server.predict(lambda: self._predict(name, content))
        except ConnectionError:
            raise
        except Exception as error:
            raise self._refusal(name, error) from None

    def _body(self, name: str) -> bytes:
        size = upload_size(self.headers)
        self.server.limits.check_bytes(name, size)
        content = self.rfile.read(size)
        self.body_was_read = True
        if len(content) < size:
            raise ConnectionAbortedError(f"{name} ended after {len(content)} of {size} bytes")
        return content

    def _predict(self, name: str, content: bytes) -> Reply:
        """Segment the photo; called in the thread that serves."""
        if _is_closed(self.connection):
            raise ConnectionAbortedError(f"the browser waits no longer for {name}")
        photo = self.server.model.segment(name, content, self.server.limits)
        height, width = photo.ids.shape
        self.server.log(f"{name}: {width} x {height} pixels, {photo.seconds:.1f} s")
        return answer_form(photo, self.server.model)

    def _refusal(self, name: str, error: Exception) -> RefusedRequest:
        refused = refusal(error)
        if refused:
            self.server.log(f"{name}: refused, {refused.message}")
            return refused
        self.server.log("".join(traceback.format_exception(error)))
        return RefusedRequest(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            f"internal error: {type(error).__name__}: {error}",
            "The terminal of `usrn serve` shows where it happened.",
        )

    def _refuse(self, refused: RefusedRequest) -> None:
        content = json.dumps({"error": refused.message, "hint": refused.hint}).encode()
        self.close_connection = self.close_connection or not self.body_was_read
        self._send(refused.status, "application/json", content)
        if not self.body_was_read:
            self._discard_body()

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in {**SECURITY_HEADERS, "Content-Type": kind}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _discard_body(self) -> None:
        """Read what the browser still sends: it would not read the answer of a closed connection."""
        self.connection.settimeout(DISCARD_SECONDS)
        discarded = 0
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while discarded < DISCARDED and (part := self.rfile.read1(PART)):
                discarded += len(part)


def _is_closed(connection: socket.socket) -> bool:
    """Whether the browser has closed the connection, as it does when the user chooses another photo."""
    readable, _, _ = select.select([connection], [], [], 0)
    return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
