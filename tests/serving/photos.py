"""A model whose classes are known, its server in a thread, and photos."""

from __future__ import annotations

import contextlib
import email
import http.client
import json
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from email.policy import HTTP
from typing import Any

import cv2
import numpy as np

from usrn_keras.serving.photo_model import PhotoModel
from usrn_keras.serving.photo_server import PhotoServer

CLASSES = ("red", "green", "blue", "grey")
PALETTE = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]], np.uint8)


def brightest(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The brightest channel is the class, its value the confidence."""
    return image.argmax(axis=-1).astype(np.int32), image.max(axis=-1).astype(np.float32) / 255


def brightest_model(answer=brightest) -> PhotoModel:
    """A model with a fourth class that no pixel has."""
    return PhotoModel("brightest", CLASSES, PALETTE, answer)


def photo(height: int = 6, width: int = 9, seed: int = 0, suffix: str = ".png") -> tuple[np.ndarray, bytes]:
    """An RGB photo and the bytes of its file."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return image, cv2.imencode(suffix, image[..., ::-1])[1].tobytes()


@contextlib.contextmanager
def served(model: PhotoModel | None = None, **options: Any) -> Iterator[PhotoServer]:
    """A server that answers in threads of this process."""
    server = PhotoServer(port=0, **options)
    thread = threading.Thread(target=server.serve, args=(model or brightest_model(),))
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


@dataclass(frozen=True)
class Answer:
    """Status, headers and content of an answer."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        """Content as JSON."""
        return json.loads(self.content)


def ask(server: PhotoServer, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
    """Send a request; an underscore in the name of a header is a hyphen."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    with contextlib.closing(connection):
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body or None, names)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())


def parts(answer: Answer) -> dict[str, bytes]:
    """Parts of the form in an answer."""
    return parts_of((answer.headers["Content-Type"], answer.content))


def parts_of(form: tuple[str, bytes]) -> dict[str, bytes]:
    """Parts of a form, its content type and its bytes."""
    kind, content = form
    message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + content, policy=HTTP)
    return {
        part.get_param("name", header="Content-Disposition"): part.get_payload(decode=True)
        for part in message.iter_parts()
    }


def unpacked(content: bytes, shape: tuple[int, int], dtype: str = "u1") -> np.ndarray:
    """Values of the pixels in a part."""
    return np.frombuffer(zlib.decompress(content), dtype).reshape(shape)
