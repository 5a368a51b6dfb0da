"""JAX: several processes that train together, each with one device of a mesh and its part of every batch.

Batches and variables are arrays of all devices, so that the compiled step is the one of several devices of a
process: the compiler adds what belongs together. What the first process computes alone (validation, the model
that is saved) needs arrays of its own device, see `JaxRanks.keep_own_values`.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import itertools
import os
import signal
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import keras
import numpy as np
from jax._src import distributed
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from usrn_keras.errors import BackendError, RanksError
from usrn_keras.interrupts import SIGNALS
from usrn_keras.ranks import ALONE, Ranks, find_launch

CONNECT_SECONDS = 300  # until all processes are there
POLL_MILLISECONDS = 200
EXIT_SECONDS = 20  # that a process has to end after an error
GOODBYE_SECONDS = 5.0  # that other processes have to notice an error before the first one ends
FAILED = "usrn/failed"

_joined: list[Ranks] = [ALONE]


def current_ranks() -> Ranks:
    """The processes that this one has joined; `ALONE` before `join`."""
    return _joined[0]


def join(ranks: Ranks, *, local_statistics: bool = False) -> Ranks:
    """Connect to the other processes, which do the same. JAX must not have computed anything before.

    Args:
        ranks: Place of this process, see `usrn_keras.ranks.launched_ranks`.
        local_statistics: Whether batch normalisation uses the images of each process alone: refused.

    Returns:
        The connected ranks; `ALONE` for one process.

    Raises:
        BackendError: `local_statistics`, or the first process does not answer.
    """
    if ranks.world == 1:
        return ALONE
    if local_statistics:
        raise BackendError(
            f"training.batch_norm = 'local' needs PyTorch, received JAX and {ranks.world} processes",
            hint="Use PyTorch, KERAS_BACKEND=torch, or --set training.batch_norm=global.",
        )
    launch = find_launch()
    # The agent of torchrun may listen at MASTER_PORT itself.
    port = launch.port + ("TORCHELASTIC_RUN_ID" in os.environ)
    # JAX 0.5 has no attribute for this setting.
    if getattr(jax.config, "jax_cpu_collectives_implementation", None) in (None, "none"):
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    address = f"{launch.address}:{port}"
    with _kept_signal_handlers():
        try:
            jax.distributed.initialize(
                address,
                ranks.world,
                ranks.rank,
                cluster_detection_method="deactivate",  # CUDA_VISIBLE_DEVICES leaves the right devices
                initialization_timeout=CONNECT_SECONDS,
            )
        except RuntimeError as error:
            raise BackendError(
                f"process {ranks.rank} of {ranks.world} cannot join the others at {address}: {error}",
                hint="See whether all processes were started, and whether this port is free and reachable.",
            ) from error
    _joined[0] = joined = JaxRanks(ranks.rank, ranks.world)
    # All processes must be here when devices are listed and the first numbers are exchanged: they wait
    # for 30 seconds then, less than a program may take to compile in one of them.
    with _no_native_stdout():
        joined.agree(False)
    return joined


def leave(*, failed: bool = False) -> None:
    """Disconnect from the other processes.

    Args:
        failed: Whether this process ends with an error; otherwise it waits until all have left.
    """
    joined, _joined[0] = _joined[0], ALONE
    if joined is ALONE:
        return
    if not failed:
        jax.distributed.shutdown()
        return
    state = distributed.global_state
    # The service of the first process must still be there for the others to read that this one failed.
    with contextlib.suppress(Exception):
        state.client.key_value_set(f"usrn/left/{joined.rank}", "")
        state.client.key_value_set(FAILED, str(joined.rank), allow_overwrite=True)
        end = time.monotonic() + GOODBYE_SECONDS
        for rank in range(1, joined.world) if joined.writes else ():
            left = max(1, int(1000 * (end - time.monotonic())))
            state.client.blocking_key_value_get(f"usrn/left/{rank}", left)
    # Without them, JAX does not wait at the end of the program for others that may never come. They stay
    # in memory, since their destructors end the process if the others are gone.
    for one in (state.client, state.service, state.preemption_sync_manager):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))
    state.client = state.service = state.preemption_sync_manager = None
    # A program on the device that waits for another process would keep this one from ending, and the launcher
    # from noticing.
    nowhere = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    atexit.register(faulthandler.dump_traceback_later, EXIT_SECONDS, exit=True, file=nowhere)


@contextlib.contextmanager
def _kept_signal_handlers() -> Iterator[None]:
    """Install the handlers of Python again: JAX has one for SIGTERM of its own."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    with contextlib.suppress(ValueError):  # not in the main thread
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _no_native_stdout() -> Iterator[None]:
    """Discard what the block writes to file descriptor 1: Gloo reports its connections there."""
    sys.stdout.flush()
    stdout, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)
        os.close(nowhere)


def training_mesh(devices: int) -> Mesh:
    """Mesh with an axis `rows` of the devices of this process, or of one device of each process.

    Args:
        devices: Number of devices of this process; one if there are several processes.
    """
    world = current_ranks().world
    if world == 1:
        return Mesh(np.array(jax.local_devices()[:devices]), ("rows",))
    firsts = {device.process_index: device for device in reversed(jax.devices())}
    return Mesh(np.array([firsts[rank] for rank in range(world)]), ("rows",))


def on_all(value: Any, whole: NamedSharding) -> Any:
    """A value that all processes hold as an array of all their devices; it shares the memory.

    Args:
        value: Array of this process, or one that this function has returned.
        whole: Sharding of a copy on each device.
    """
    if not value.is_fully_addressable:
        return value
    (device,) = whole.addressable_devices
    return jax.make_array_from_single_device_arrays(value.shape, whole, [jax.device_put(value, device)])


@dataclass(frozen=True)
class JaxRanks(Ranks):
    """Processes that are connected; see `Ranks`. Numbers go through a program, texts through the first one.

    Args:
        rank: Number of this process, from 0.
        world: Number of processes.
    """

    _orders: Iterator[int] = field(default_factory=itertools.count, init=False, repr=False, compare=False)
    _texts: Iterator[int] = field(default_factory=itertools.count, init=False, repr=False, compare=False)

    def agree(self, *flags: bool) -> tuple[bool, ...]:
        rows, whole = (NamedSharding(training_mesh(1), PartitionSpec(*axes)) for axes in (("rows",), ()))
        own = jax.make_array_from_process_local_data(rows, np.array([flags], "int32"))
        return tuple(map(bool, np.asarray(_largest(own, whole))))

    def gather(self, text: str) -> list[str]:
        number = next(self._texts)
        distributed.global_state.client.key_value_set(f"usrn/text/{number}/{self.rank}", text)
        return [self._wait_for(f"usrn/text/{number}/{rank}") for rank in range(self.world)]

    def checksums(self, variables: Sequence[keras.Variable]) -> list[int]:
        return [zlib.crc32(np.ascontiguousarray(variable.value).tobytes()) for variable in variables]

    def send(self, order: int) -> None:
        distributed.global_state.client.key_value_set(f"usrn/order/{next(self._orders)}", str(order))

    def receive(self) -> int:
        return int(self._wait_for(f"usrn/order/{next(self._orders)}"))

    def keep_own_values(self, variables: Sequence[keras.Variable]) -> None:
        for variable in variables:
            if not variable.value.is_fully_addressable:
                variable._value = variable.value.addressable_data(0)

    def _wait_for(self, key: str) -> str:
        """The text of a key, in short waits, so that Ctrl-C is heard, and that another process failed."""
        while True:
            with contextlib.suppress(_NotYet):
                return _value_of(key, POLL_MILLISECONDS)
            with contextlib.suppress(_NotYet):
                raise RanksError(
                    f"process {_value_of(FAILED, 1)} of {self.world} ended with an error",
                    hint="See its message. Run the same command again to resume.",
                )


class _NotYet(Exception):
    """A key has no value yet."""


def _value_of(key: str, milliseconds: int) -> str:
    try:
        return distributed.global_state.client.blocking_key_value_get(key, milliseconds)
    except RuntimeError as error:
        if "DEADLINE_EXCEEDED" in str(error):
            raise _NotYet(key) from None
        raise


def _largest(flags: Any, whole: NamedSharding) -> Any:
    return jax.jit(_over_processes, out_shardings=whole)(flags)


def _over_processes(flags: Any) -> Any:
    return flags.max(axis=0)
