"""The folder for what can be made again: drawn data sets, compiled programs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`usrn-keras` in the user's cache folder, which `XDG_CACHE_HOME` names."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "usrn-keras"
