"""A page on this machine that segments photos: threads talk HTTP, the thread that serves predicts.

Photos are predicted one after the other in the thread that calls `PhotoServer.serve`: the main thread of the
command, where Ctrl-C stops a prediction as it does in every other command. Uploads stay in memory.
"""

from __future__ import annotations

import errno
import os
import queue
import socketserver
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING

from usrn_keras.errors import ServerError
from usrn_keras.interrupts import check_interrupt
from usrn_keras.serving.photo_requests import PhotoRequests, Reply
from usrn_keras.serving.request_checks import RefusedRequest
from usrn_keras.serving.upload_limits import UploadLimits

if TYPE_CHECKING:
    from usrn_keras.serving.photo_model import PhotoModel

HOST = "127.0.0.1"
WAITING = 8  # photos in memory, at most; further ones are refused
CHECK_SECONDS = 0.2  # Windows does not interrupt a thread that waits


class PhotoServer(ThreadingHTTPServer):
    """Server of the page, bound to its port; `serve` answers requests.

    Args:
        port: Port on 127.0.0.1; 0 chooses a free one.
        limits: Limits of a photo.
        log: Called with a line for each photo and each internal error.

    Raises:
        ServerError: The port is in use, or not allowed.

    Example:

    >>> server = PhotoServer(port=0)
    >>> server.url.startswith("http://127.0.0.1:")
    True
    >>> server.serve(load_photo_model("runs/quickstart"))   # until Ctrl-C  # doctest: +SKIP
    >>> server.server_close()
    """

    allow_reuse_address = os.name == "posix"  # on Windows a second server would take the port
    daemon_threads = True
    model: PhotoModel  # set by `serve`

    def __init__(
        self,
        *,
        port: int,
        limits: UploadLimits | None = None,
        log: Callable[[str], None] = lambda line: None,
    ):
        self.limits = limits or UploadLimits()
        self.log = log
        self._photos: queue.Queue[tuple[Future, Callable] | None] = queue.Queue(WAITING)
        self._ended = False
        try:
            super().__init__((HOST, port), PhotoRequests)
        except (OSError, OverflowError) as error:
            raise _port_error(port, error) from error

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{HOST}:{self.server_port}/"

    def serve(self, model: PhotoModel) -> None:
        """Answer requests until `stop` is called or the thread is interrupted, and close the port.

        Args:
            model: Model that segments the photos, in the calling thread.
        """
        self.model = model
        threading.Thread(target=self.serve_forever, args=(CHECK_SECONDS,), name="http", daemon=True).start()
        try:
            while photo := self._next():
                _run(*photo)
                check_interrupt()
        finally:
            self.shutdown()
            self.server_close()
            self._ended = True
            self._cancel_waiting()

    def stop(self) -> None:
        """End `serve` after the photos that wait; for another thread."""
        self._photos.put(None)

    def predict(self, call: Callable[[], Reply]) -> Reply:
        """Run a function in the thread that serves, when it is its turn, and return its result.

        Raises:
            RefusedRequest: Too many photos wait, or the server stops.
        """
        future: Future[Reply] = Future()
        try:
            self._photos.put_nowait((future, call))
            if self._ended:
                future.cancel()
            return future.result()
        except queue.Full:
            raise RefusedRequest(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{WAITING} photos are waiting already",
                "Wait until one is segmented, and try again.",
            ) from None
        except CancelledError:
            raise RefusedRequest(HTTPStatus.SERVICE_UNAVAILABLE, "the server stops") from None

    def server_bind(self) -> None:
        """Bind the port, without the search for the name of this machine in the network."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def handle_error(self, request: object, client_address: object) -> None:
        """Log an error of a request, unless the browser has closed the connection."""
        if not isinstance(sys.exception(), ConnectionError):
            self.log(traceback.format_exc())

    def _next(self) -> tuple[Future, Callable] | None:
        while True:
            try:
                return self._photos.get(timeout=CHECK_SECONDS)
            except queue.Empty:
                check_interrupt()

    def _cancel_waiting(self) -> None:
        while not self._photos.empty():
            if photo := self._photos.get_nowait():
                photo[0].cancel()


def _run(future: Future[Reply], call: Callable[[], Reply]) -> None:
    try:
        future.set_result(call())
    except Exception as error:
        future.set_exception(error)
    except BaseException:  # Ctrl-C
        future.cancel()
        raise


def _port_error(port: int, error: OSError | OverflowError) -> ServerError:
    code = getattr(error, "errno", None)
    if code in (errno.EADDRINUSE, 10048):  # of Windows
        reason = "is in use by another program"
    elif code in (errno.EACCES, 10013):
        reason = "may not be used by this user"
    else:
        reason = f"cannot be opened: {error}"
    return ServerError(
        f"port {port} of {HOST} {reason}", hint="Choose another one: --port 0 takes a free port."
    )
