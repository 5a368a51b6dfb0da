"""A saved model in worker processes: each loads and compiles it once for all of its chunks."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from usrn_keras.errors import RunError
from usrn_keras.evaluation.predictor import Inference, Predictor
from usrn_keras.networks import load_segmenter


def describe_predictor(file: Path, options: Inference, batch: int) -> dict[str, Any]:
    """Describe a predictor in JSON values: file and hash of its model, and its options.

    Args:
        file: The `.keras` file.
        options: Options of prediction.
        batch: Number of images or windows predicted at once.
    """
    options = asdict(options) | {"scales": list(options.scales)}
    return {"file": str(file.resolve()), "hash": _file_hash(file), "options": options, "batch": batch}


def described_predictor(description: Mapping[str, Any]) -> Predictor:
    """Return the predictor of a description; the same one as before, if it is described again.

    Args:
        description: What `describe_predictor` returned, maybe on another machine.

    Raises:
        RunError: The file is not there, or has another content here.
    """
    return _predictor(json.dumps(description, sort_keys=True))


@functools.lru_cache(maxsize=1)
def _predictor(text: str) -> Predictor:
    description = json.loads(text)
    file = Path(description["file"])
    if not file.exists() or _file_hash(file) != description["hash"]:
        problem = "has another content" if file.exists() else "does not exist"
        raise RunError(
            f"{file} {problem} where a worker process runs",
            hint="Workers must see the same files under the same paths, such as those of a network drive.",
        )
    return Predictor(load_segmenter(file), Inference(**description["options"]), batch=description["batch"])


def _file_hash(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
