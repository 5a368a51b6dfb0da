"""Which process this is, from the variables of torchrun, SLURM and Kubernetes."""

from __future__ import annotations

import os

import pytest

from usrn_keras.errors import BackendError
from usrn_keras.ranks import ALONE, Ranks, claim_gpu, find_launch, launched_ranks, launcher_variables

TORCHRUN = {
    "RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "1",
    "MASTER_ADDR": "h0",
    "MASTER_PORT": "29400",
}
SLURM = {
    "SLURM_JOB_ID": "123456",
    "SLURM_PROCID": "5",
    "SLURM_NTASKS": "8",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
}
KUBERNETES = {
    "JOB_COMPLETION_INDEX": "1",
    "WORLD_SIZE": "4",
    "MASTER_ADDR": "usrn-workers-0-0.usrn",
    "MASTER_PORT": "29400",
}

TWO_MISSING = ["SLURM_NTASKS: missing", "SLURM_LOCALID: missing"]


def test_torchrun():
    assert launched_ranks(TORCHRUN) == Ranks(1, 2)
    assert find_launch(TORCHRUN).variables() == TORCHRUN
    assert find_launch(SLURM | KUBERNETES | TORCHRUN).launcher == "torchrun"  # it may run within the others


def test_slurm():
    assert launched_ranks(SLURM) == Ranks(5, 8)
    found = find_launch(SLURM).variables()
    assert found["LOCAL_RANK"] == "1" and found["MASTER_ADDR"] == "gpu07"
    other = find_launch({**SLURM, "SLURM_PROCID": "0"}).variables()
    assert other["MASTER_PORT"] == found["MASTER_PORT"] == "23456"
    chosen = find_launch(SLURM | {"MASTER_ADDR": "ib0", "MASTER_PORT": "4000"})
    assert (chosen.address, chosen.port) == ("ib0", 4000)
    assert find_launch(found) == find_launch(found | SLURM)  # what torch.distributed reads is read again


def test_kubernetes():
    assert launched_ranks(KUBERNETES) == Ranks(1, 4)
    assert find_launch(KUBERNETES).variables() == TORCHRUN | {
        "WORLD_SIZE": "4", "LOCAL_RANK": "0", "MASTER_ADDR": "usrn-workers-0-0.usrn",
    }  # fmt: skip


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"MASTER_ADDR": "h0"},  # some clusters set it for every job
        {"JOB_COMPLETION_INDEX": "3"},  # an indexed Job of processes that do not train together
        KUBERNETES | {"WORLD_SIZE": "1", "JOB_COMPLETION_INDEX": "0"},
        SLURM | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"},
        {name: value for name, value in SLURM.items() if "STEP" not in name},  # a batch script, without srun
    ],
)
def test_a_process_alone(environment):
    assert launched_ranks(environment) is ALONE


@pytest.mark.parametrize(
    ("environment", "changes", "lines"),
    [
        (TORCHRUN, {"MASTER_PORT": ""}, ["MASTER_PORT: missing"]),
        (TORCHRUN, {"RANK": ""}, ["RANK: missing"]),
        (TORCHRUN, {"RANK": "one"}, ["RANK: must be a number, received 'one'"]),
        (TORCHRUN, {"RANK": "2"}, ["RANK: must be below WORLD_SIZE = 2, received 2"]),
        (
            SLURM,
            {"SLURM_LOCALID": "", "SLURM_NTASKS": ""},
            ["SLURM_NTASKS: missing", "SLURM_LOCALID: missing"],
        ),
        (SLURM, {"SLURM_PROCID": "8"}, ["SLURM_PROCID: must be below SLURM_NTASKS = 8, received 8"]),
        (
            KUBERNETES,
            {"MASTER_ADDR": "", "MASTER_PORT": ""},
            ["MASTER_ADDR: missing", "MASTER_PORT: missing"],
        ),
    ],
)
def test_variables_that_are_set_in_part(environment, changes, lines):
    with pytest.raises(BackendError) as caught:
        launched_ranks(environment | changes)
    assert list(caught.value.errors) == lines and caught.value.hint


@pytest.mark.parametrize(
    ("environment", "visible", "claimed"),
    [
        (TORCHRUN, ["0", "1"], "1"),
        (SLURM, ["3", "GPU-7"], "GPU-7"),
        (SLURM, ["2"], None),  # srun --gpus-per-task 1
        (KUBERNETES, ["0"], None),
        ({}, ["0", "1"], None),
    ],
)
def test_each_process_sees_one_gpu(environment, visible, claimed, monkeypatch):
    monkeypatch.setattr(launcher_variables, "has_nvidia_gpu", lambda: True)
    monkeypatch.setattr(launcher_variables, "gpus_by_identifier", lambda: dict.fromkeys(visible))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # so that it is as before after the test
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    claim_gpu()
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == claimed


def test_more_processes_than_gpus(monkeypatch):
    monkeypatch.setattr(launcher_variables, "has_nvidia_gpu", lambda: True)
    monkeypatch.setattr(launcher_variables, "gpus_by_identifier", lambda: {"0": None})
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BackendError, match="it has 1 GPUs"):
        claim_gpu()
