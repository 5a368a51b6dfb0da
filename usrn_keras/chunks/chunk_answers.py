"""Answers of chunks on disk, so that an interrupted command computes no chunk twice."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from pathlib import Path

from usrn_keras.files import atomic_path, cache_folder

DIGEST_BYTES = 32


class ChunkAnswers:
    """A folder with one file for each chunk, named by its key: a hash of the content, then the content.

    A damaged file counts as missing.

    Args:
        folder: Folder of the files, created by the first `write`.

    Example:

    >>> import tempfile
    >>> answers = ChunkAnswers(Path(tempfile.mkdtemp()) / "answers")
    >>> answers.write("a and b", b"42")
    >>> answers.read("a and b"), answers.read("a and c")
    (b'42', None)
    """

    def __init__(self, folder: Path):
        self.folder = folder

    @classmethod
    def cached(cls, *name: str) -> ChunkAnswers:
        """Answers in the cache folder of the user.

        Args:
            name: What the work is, such as its kind and the folder of its results.
        """
        digest = hashlib.sha256("\n".join(name).encode()).hexdigest()[:16]
        return cls(cache_folder() / "chunks" / digest)

    def read(self, key: str) -> bytes | None:
        """Return the answer of a chunk; None if there is no valid one.

        Args:
            key: Identity of the chunk: images, model, options.
        """
        with contextlib.suppress(OSError):
            content = self._file(key).read_bytes()
            if content[:DIGEST_BYTES] == hashlib.sha256(content[DIGEST_BYTES:]).digest():
                return content[DIGEST_BYTES:]
        return None

    def write(self, key: str, answer: bytes) -> None:
        """Store the answer of a chunk atomically.

        Args:
            key: Identity of the chunk.
            answer: The answer.

        Raises:
            StorageError: The disk is full or not writable.
        """
        with atomic_path(self._file(key)) as temporary:
            temporary.write_bytes(hashlib.sha256(answer).digest() + answer)

    def drop(self, key: str) -> None:
        """Delete the answer of a chunk that is not needed any more."""
        self._file(key).unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete all answers: the work is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.bin"
