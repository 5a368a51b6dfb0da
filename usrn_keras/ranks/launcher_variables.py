"""Which process this is, from the variables of the launcher that started it: torchrun, SLURM or Kubernetes.

| launcher | number of the process | processes | place on the machine | first machine |
| torchrun | `RANK` | `WORLD_SIZE` | `LOCAL_RANK` | `MASTER_ADDR`, `MASTER_PORT` |
| srun | `SLURM_PROCID` | `SLURM_NTASKS` | `SLURM_LOCALID` | the first of `SLURM_STEP_NODELIST` |
| an indexed Job | `JOB_COMPLETION_INDEX` | `WORLD_SIZE` | 0 | `MASTER_ADDR`, `MASTER_PORT` |

torchrun comes first, since it may run within the others. `MASTER_ADDR` and `MASTER_PORT` also replace what
SLURM says. A Job sets `JOB_COMPLETION_INDEX` alone; `WORLD_SIZE` in its template says that its processes
train together.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from usrn_keras.errors import BackendError
from usrn_keras.machine import gpus_by_identifier, has_nvidia_gpu
from usrn_keras.ranks.ranks import ALONE, Ranks

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
SLURM = ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_STEP_NODELIST")
KUBERNETES = ("JOB_COMPLETION_INDEX", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
TEXTS = ("MASTER_ADDR", "SLURM_STEP_NODELIST")  # all other variables are numbers
LOWEST_PORT, PORTS = 20_000, 10_000  # from which a job of SLURM gets one by its number


@dataclass(frozen=True)
class Launch:
    """Place of this process among those that a launcher started.

    Args:
        launcher: `torchrun`, `SLURM` or `Kubernetes`.
        rank: Number of this process, from 0.
        world: Number of processes.
        local_rank: Number of this process on its machine.
        address: Name of the machine of the first process.
        port: Port at which the first process waits for the others.
    """

    launcher: str
    rank: int
    world: int
    local_rank: int
    address: str
    port: int

    def variables(self) -> dict[str, str]:
        """The variables that torchrun would have set."""
        values = (self.rank, self.world, self.local_rank, self.address, self.port)
        return dict(zip(TORCHRUN, map(str, values), strict=True))


def find_launch(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """Read the variables of a launcher.

    Args:
        environment: Environment variables.

    Returns:
        Place of this process; None for one that is alone.

    Raises:
        BackendError: Some of the variables are missing or are no numbers.

    Example:

    >>> step = {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1", "SLURM_JOB_ID": "7"}
    >>> find_launch(step | {"SLURM_STEP_NODELIST": "gpu[08-09]"})
    Launch(launcher='SLURM', rank=3, world=4, local_rank=1, address='gpu08', port=20007)
    """
    known = {name: value for name, value in environment.items() if value}
    if "RANK" in known or ("WORLD_SIZE" in known and "JOB_COMPLETION_INDEX" not in known):
        rank, world, local, port = _numbers("torchrun", TORCHRUN, known)
        return Launch("torchrun", rank, world, local, known["MASTER_ADDR"], port)
    if "JOB_COMPLETION_INDEX" in known and "WORLD_SIZE" in known:
        rank, world, port = _numbers("Kubernetes", KUBERNETES, known)
        return Launch("Kubernetes", rank, world, 0, known["MASTER_ADDR"], port) if world > 1 else None
    # A batch script of SLURM has most of the variables; only what srun starts is a process of a step.
    if any(name.startswith("SLURM_STEP_") for name in known) and known.get("SLURM_NTASKS") != "1":
        rank, world, local = _numbers("SLURM", SLURM, known)
        address = known.get("MASTER_ADDR") or first_host(known["SLURM_STEP_NODELIST"])
        port = known.get("MASTER_PORT") or str(LOWEST_PORT + int(known.get("SLURM_JOB_ID", "0")) % PORTS)
        return Launch("SLURM", rank, world, local, address, int(port))
    return None


def launched_ranks(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Which process this is, of those that a launcher started.

    Args:
        environment: Environment variables.

    Returns:
        Place of the process; `ALONE` without a launcher.

    Raises:
        BackendError: Some of the variables are missing or are no numbers.

    Example:

    >>> launched_ranks({})
    Ranks(rank=0, world=1)
    """
    launch = find_launch(environment)
    return ALONE if launch is None else Ranks(launch.rank, launch.world)


def first_host(nodes: str) -> str:
    """Name of the first machine of a list of SLURM.

    Args:
        nodes: List as in `SLURM_STEP_NODELIST`.

    Example:

    >>> [first_host(nodes) for nodes in ("h1", "h[3-5],k1", "a-[007,9]-x.site", "gpu1,gpu[3-4]")]
    ['h1', 'h3', 'a-007-x.site', 'gpu1']
    """
    start, number, end = re.match(r"([^\[,]*)(?:\[(\w+)[^\]]*\]([^\[,]*))?", nodes).groups(default="")
    return start + number + end


def claim_gpu() -> None:
    """Let a process that a launcher started see one GPU alone, that of its place on this machine.

    Call it before a backend is loaded.

    Raises:
        BackendError: There are more processes on this machine than GPUs.
    """
    launch = find_launch()
    if launch is None or not (has_nvidia_gpu() and (gpus := list(gpus_by_identifier()))):
        return
    if launch.launcher != "torchrun" and len(gpus) == 1:  # `srun --gpus-per-task 1`, or a pod
        return
    if launch.local_rank >= len(gpus):
        raise BackendError(
            f"process {launch.local_rank} of this machine, from 0, has no GPU: it has {len(gpus)} GPUs",
            hint=f"Start at most {len(gpus)} processes on it: torchrun --nproc-per-node {len(gpus)}, or srun "
            f"--ntasks-per-node {len(gpus)}",
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus[launch.local_rank]


def _numbers(launcher: str, names: Sequence[str], known: Mapping[str, str]) -> list[int]:
    """The variables that are numbers, the first two of which are rank and number of processes."""
    errors = [f"{name}: missing" for name in names if name not in known]
    numbers = {name: known[name] for name in names if name in known and name not in TEXTS}
    errors += [
        f"{name}: must be a number, received {value!r}"
        for name, value in numbers.items()
        if not value.isdigit()
    ]
    rank, world = names[:2]
    if not errors and int(numbers[rank]) >= int(numbers[world]):
        errors.append(f"{rank}: must be below {world} = {numbers[world]}, received {numbers[rank]}")
    if errors:
        raise BackendError(
            f"the variables of several processes of {launcher} are set in part",
            errors=errors,
            hint=HINTS[launcher],
        )
    return [int(value) for value in numbers.values()]


HINTS = {
    "torchrun": "Start with torchrun, which sets all of them; for one process: unset RANK WORLD_SIZE",
    "SLURM": "Start with srun, which sets all of them; for one process: srun --ntasks 1",
    "Kubernetes": "Set the others in the template of the Job, see docs/devices.md; for one process: leave "
    "WORLD_SIZE out.",
}
