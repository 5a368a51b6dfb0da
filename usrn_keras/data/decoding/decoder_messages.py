"""What decoders write to stderr about a file: libtiff and libjpeg write there, whatever Python does.

The lines become part of the error of the file, or notes about it in `usrn data check`; none is left on the
terminal without the name of the file.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator

_LOCK = threading.Lock()  # stderr belongs to the process
_PLACE = threading.local()
# Lines of libtiff (`ZIPDecode: ...`), libjpeg and libpng. Lines of other threads are passed on.
_MESSAGE = re.compile(
    r"\w+(\.tif)?: |Corrupt JPEG data|Premature end of JPEG|Invalid (SOS|progressive)|Unsupported|libpng"
)


@contextlib.contextmanager
def captured_messages() -> Iterator[list[str]]:
    """Keep what decoders write to stderr, and warnings of Pillow, off the terminal.

    Only for decoders that write there: one thread at a time can be in the block.

    Yields:
        A list that receives the lines at the end of the block.
    """
    lines: list[str] = []
    with _LOCK, tempfile.TemporaryFile() as file, warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        with contextlib.suppress(AttributeError, OSError, ValueError):  # a stderr without a file, as in IDLE
            sys.stderr.flush()
        kept = os.dup(2)
        try:
            os.dup2(file.fileno(), 2)
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            written = file.read().decode("utf-8", "replace").splitlines()
            ours = [line.strip() for line in written if _MESSAGE.match(line)]
            lines += dict.fromkeys([*ours, *(str(warning.message).strip() for warning in raised)])
            if others := [line for line in written if not _MESSAGE.match(line)]:
                os.write(2, "".join(f"{line}\n" for line in others).encode())


@contextlib.contextmanager
def collected_notes() -> Iterator[list[str]]:
    """Collect what decoders say in this thread about files that they can read.

    Yields:
        A list that receives a sentence for each line.
    """
    before, _PLACE.notes = getattr(_PLACE, "notes", None), []
    try:
        yield _PLACE.notes
    finally:
        _PLACE.notes = before


def note_messages(lines: list[str]) -> None:
    """Report lines of a decoder about a file that it could read."""
    if (notes := getattr(_PLACE, "notes", None)) is not None:
        notes += [f"its decoder says: {line}" for line in lines]
