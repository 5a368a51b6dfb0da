"""What all tests share: the backend, unless KERAS_BACKEND names one, and few threads."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "torch")  # starts fastest and compiles nothing
os.environ.setdefault("OMP_NUM_THREADS", "1")  # arrays are tiny; more threads only wait for each other
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
