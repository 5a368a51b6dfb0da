"""In place of `usrn_keras.stages.step_trial:try_steps`: child processes that are killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

SIZES = {"batch_labelled": 2, "batch_unlabelled": 2, "crop_size": 32, "accumulation": 1}
NETWORK = {
    "device": {"backend": "torch", "gpu": False, "room": 10**9},
    "stage": "USRN",
    "trainable": 0,
    "flops": {"USRN": {"labelled": 1}},
    "parts": [],
}


def at_once(order: dict, send: Callable[[dict], None]) -> dict:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def in_the_second_step(order: dict, send: Callable[[dict], None]) -> dict:
    send({"network": NETWORK})
    send({"try": SIZES})
    send({"step": {"sizes": SIZES, "peak": 1, "seconds": 1.0}})
    send({"try": SIZES | {"batch_labelled": 4, "batch_unlabelled": 4}})
    return at_once(order, send)


def hanging(order: dict, send: Callable[[dict], None]) -> dict:
    time.sleep(600)
    raise AssertionError


def hanging_in_the_second_step(order: dict, send: Callable[[dict], None]) -> dict:
    send({"network": NETWORK})
    send({"try": SIZES})
    send({"step": {"sizes": SIZES, "peak": 1, "seconds": 1.0}})
    return hanging(order, send)
