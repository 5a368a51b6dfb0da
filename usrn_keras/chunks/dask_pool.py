"""Worker processes of Dask: started on this machine, or those of a scheduler."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from usrn_keras.chunks.chunk_worker import Order, compute
from usrn_keras.errors import SchedulerError
from usrn_keras.machine import gpus_by_identifier, has_nvidia_gpu, usable_cores
from usrn_keras.optional import import_distributed

CONNECT_SECONDS = 15.0  # to find a scheduler
WORKER_SECONDS = 120.0  # to find its first worker
CHUNKS_PER_WORKER = 2  # one that it computes, and the next one
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@contextlib.contextmanager
def open_pool(workers: int | None = None, scheduler: str | None = None) -> Iterator[DaskPool | None]:
    """Worker processes of this machine, or those of a scheduler, until the block ends.

    Those of this machine start when the first chunk is computed: what is wrong with the inputs is found
    before, and nothing starts where nothing is left to do. A scheduler is connected at once.

    Args:
        workers: Number of processes to start. Each has one thread that computes, an equal part of the cores
            for its kernels, and one of the GPUs, in turn.
        scheduler: Address of a Dask scheduler, such as `tcp://h0:8786`. Its workers must have the same
            packages and see the same files.

    Yields:
        The workers; None if both arguments are None.

    Raises:
        BackendError: Dask is not installed.
        SchedulerError: The scheduler cannot be reached, or has no workers.

    Example:

    >>> with open_pool(workers=4) as pool:  # doctest: +SKIP
    ...     predict_files("runs/camvid", ["photos"], "predictions", pool=pool)
    """
    if workers is None and scheduler is None:
        yield None
        return
    distributed = import_distributed("--scheduler" if scheduler else "--workers")
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())

        def connect() -> Any:
            address = scheduler or stack.enter_context(_local_cluster(distributed, workers))
            client = stack.enter_context(_connected(distributed, address))
            _wait_for_a_worker(distributed, client, scheduler)
            return client

        pool = DaskPool(connect)
        if scheduler:
            pool.connect()
        yield pool


class DaskPool:
    """Workers that compute chunks. A chunk whose worker dies is computed again by another one.

    Args:
        connect: Function that returns a client of `dask.distributed` that is connected to them; called once.
    """

    def __init__(self, connect: Callable[[], Any]):
        self.connect = functools.cache(connect)

    @property
    def _client(self) -> Any:
        return self.connect()

    def compute(self, orders: Iterable[tuple[int, Order]]) -> Iterator[tuple[int, bytes]]:
        """Compute chunks; few at a time are with the workers, so that their answers need little memory.

        Args:
            orders: Number and order of each chunk.

        Yields:
            Number and answer of each chunk as it is computed, in any order.

        Raises:
            USRNError: As the functions of the orders raise.
            SchedulerError: The scheduler is gone, or a chunk has ended several workers.
        """
        from distributed import as_completed

        waiting, numbers = iter(orders), {}
        running = as_completed(loop=self._client.loop)
        try:
            self._submit(running, numbers, waiting)
            while numbers:
                future = next(running)
                answer = self._answer(future, numbers[future])
                yield numbers.pop(future), answer
                self._submit(running, numbers, waiting)
        finally:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                self._client.cancel(list(numbers))

    def _submit(self, running: Any, numbers: dict[Any, int], waiting: Iterator[tuple[int, Order]]) -> None:
        """Keep each worker busy. Workers may come and go."""
        most = CHUNKS_PER_WORKER * max(1, len(self._client.nthreads()))
        while len(numbers) < most and (chunk := next(waiting, None)):
            number, order = chunk
            future = self._client.submit(compute, order, pure=False)
            numbers[future] = number
            running.add(future)

    def _answer(self, future: Any, number: int) -> bytes:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError
        from distributed.comm import CommClosedError

        try:
            return future.result()
        except KilledWorker as error:
            raise SchedulerError(
                f"chunk {number} ended {error.allowed_failures + 1} workers, one after the other",
                hint="Often the memory of the workers is too small: start fewer of them, or lower "
                "evaluation.batch. Run the same command again to resume.",
            ) from error
        except (FutureCancelledError, CommClosedError, OSError) as error:
            raise SchedulerError(
                f"the connection to the Dask scheduler is lost: {error}",
                hint="Run the same command again to resume, when the scheduler is there.",
            ) from error


@contextlib.contextmanager
def _local_cluster(distributed: Any, workers: int) -> Iterator[Any]:
    options = {"nthreads": 1, "memory_limit": 0, "dashboard": False, "silence_logs": logging.CRITICAL}
    specification = {
        number: {"cls": distributed.Nanny, "options": {**options, "env": variables}}
        for number, variables in enumerate(worker_variables(workers))
    }
    scheduler = {
        "cls": distributed.Scheduler,
        "options": {"host": "127.0.0.1", "dashboard_address": None, "dashboard": False},
    }
    with distributed.SpecCluster(specification, scheduler, silence_logs=logging.CRITICAL) as cluster:
        yield cluster


def worker_variables(workers: int) -> list[dict[str, str]]:
    """Environment variables of each of several worker processes of this machine.

    Args:
        workers: Number of processes.
    """
    threads = str(max(1, usable_cores() // workers))
    gpus = list(gpus_by_identifier()) if has_nvidia_gpu() else []
    variables = []
    for number in range(workers):
        chosen = {name: os.environ.get(name, threads) for name in THREADS}
        if gpus:
            chosen["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
        variables.append(chosen)
    return variables


@contextlib.contextmanager
def _connected(distributed: Any, address: Any) -> Iterator[Any]:
    try:
        client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:  # ValueError: not an address
        raise SchedulerError(
            f"no Dask scheduler answers at {address!r}: {str(error) or type(error).__name__}",
            hint="Start one with `dask scheduler`, which prints its address, such as tcp://h0:8786; or use "
            "processes of this machine: --workers N",
        ) from error
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            client.close(timeout=CONNECT_SECONDS)


def _wait_for_a_worker(distributed: Any, client: Any, scheduler: str | None) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except (TimeoutError, distributed.TimeoutError) as error:
        place = f"the Dask scheduler at {scheduler} has no workers" if scheduler else "no worker has started"
        raise SchedulerError(
            f"{place} after {WORKER_SECONDS:.0f} seconds",
            hint="Start workers: dask worker ADDRESS --nthreads 1 --nworkers N",
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide what Dask logs about workers that end: errors are reported by exceptions."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado.application")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
