"""Start one process for each device where the backend needs that."""

from __future__ import annotations

import sys

from usrn_cli.backend import require_backend
from usrn_keras.errors import BackendError

PROGRAM = "import sys; from usrn_cli.main import main; sys.exit(main(prog_name='usrn'))"


def start_processes(devices: str) -> None:
    """Run this very command in one process for each device, and exit with its exit code.

    Return without doing so on a backend that trains on several devices in one process, for one device, and in
    a process that a launcher started.

    Args:
        devices: Number of devices, or `all`.

    Raises:
        BackendError: There are fewer GPUs.
    """
    from usrn_keras.machine import gpus_by_identifier, has_nvidia_gpu
    from usrn_keras.ranks import ALONE, launched_ranks, run_processes

    if devices == "1" or require_backend() != "torch" or launched_ranks() is not ALONE:
        return
    gpus = list(gpus_by_identifier()) if has_nvidia_gpu() else []
    count = max(1, len(gpus)) if devices == "all" else int(devices)
    if gpus and count > len(gpus):
        raise BackendError(
            f"--devices {devices}: there are {len(gpus)} GPUs",
            hint=f"Choose at most {len(gpus)}, or --devices all. `usrn doctor` shows the devices.",
        )
    if count > 1:
        # -P: a file in the working directory that is named like a module must not be imported.
        sys.exit(run_processes([sys.executable, "-P", "-c", PROGRAM, *sys.argv[1:]], count, gpus[:count]))
