"""Features of whole images in files, one for each image, written atomically and read by memory mapping."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.data.dataset import Sample
from usrn_keras.data.decoding.content_hashes import content_hash
from usrn_keras.files import NOT_AS_EXPECTED, atomic_path, storage_errors

HEADER = 512  # bytes before the numbers: JSON with the shapes and the checksum, filled up with spaces
CHUNK = 2**24  # bytes that are read at once
Maps = tuple[np.ndarray, np.ndarray]


class FeatureFiles:
    """Low-level and deepest features of images, float16, for one or both orientations.

    The name of a file is a hash of the content of its image and of everything else that the features depend
    on. So a file is of this image, this network and these settings, or it has another name. A file is
    complete, because it is renamed after it was written, and its checksum says whether it has changed since.

    Args:
        folder: Folder of the files.
        key: What the features depend on beside the image, a JSON value.

    Example:

    >>> import tempfile
    >>> files, sample = FeatureFiles(Path(tempfile.mkdtemp()), "a network"), Sample("a", Path("a.png"))
    >>> files.write(sample, [(np.zeros((8, 8, 2)), np.ones((2, 2, 3)))])
    >>> files.is_whole(sample), files.read(sample, flip=False)[1].shape
    (True, (2, 2, 3))
    """

    def __init__(self, folder: Path, key: Any):
        self.folder = folder
        self._key = json.dumps(key, sort_keys=True)
        self._shapes: dict[Path, list[list[int]]] = {}

    def path(self, sample: Sample) -> Path:
        """Path of the file of an image."""
        content = content_hash(sample.image) or str(sample.image)
        text = json.dumps([self._key, content, list(sample.value_range or ())])
        return self.folder / f"{hashlib.blake2b(text.encode(), digest_size=16).hexdigest()}.f16"

    def write(self, sample: Sample, orientations: Sequence[Maps]) -> None:
        """Write the features of an image.

        Args:
            sample: The image.
            orientations: Low-level and deepest features, `(rows, columns, channels)` each, of the image and,
                if views are mirrored, of the mirrored image.

        Raises:
            StorageError: The disk is full; the file does not exist then.
        """
        arrays = [np.ascontiguousarray(one, np.float16) for maps in orientations for one in maps]
        checksum = 0
        for array in arrays:
            checksum = zlib.crc32(array.data.cast("B"), checksum)
        header = json.dumps({"shapes": [array.shape for array in arrays], "crc32": checksum})
        with atomic_path(self.path(sample)) as temporary, open(temporary, "wb") as file:
            file.write(header.encode().ljust(HEADER))
            file.writelines(array.data for array in arrays)

    def is_whole(self, sample: Sample) -> bool:
        """Whether the file of an image exists and has the bytes that were written; reads all of it."""
        path = self.path(sample)
        try:
            with open(path, "rb") as file:
                header = json.loads(file.read(HEADER))
                checksum = 0
                while chunk := file.read(CHUNK):
                    checksum = zlib.crc32(chunk, checksum)
                self._shapes[path] = header["shapes"]
                return checksum == header["crc32"]
        except (OSError, *NOT_AS_EXPECTED):
            return False

    def read(self, sample: Sample, *, flip: bool) -> Maps:
        """Map the features of an image into memory.

        Args:
            sample: The image; its file was checked by `is_whole`.
            flip: Whether to read those of the mirrored image.
        """
        path = self.path(sample)
        shapes = self._shapes[path]
        start = HEADER + 2 * sum(int(np.prod(shape)) for shape in shapes[: 2 * flip])
        maps = []
        for shape in shapes[2 * flip : 2 * flip + 2]:
            maps.append(np.memmap(path, np.float16, "r", start, tuple(shape)))
            start += maps[-1].nbytes
        return maps[0], maps[1]

    def remove_others(self, samples: Iterable[Sample]) -> None:
        """Remove the files of other images, and those of other networks or settings.

        Args:
            samples: Images whose files are kept.
        """
        kept = {self.path(sample) for sample in samples}
        with storage_errors(self.folder):
            for file in self.folder.glob("*.f16"):
                if file not in kept:
                    file.unlink()
