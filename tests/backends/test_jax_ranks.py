"""Processes of JAX, without a second one; `test_two_processes.py` starts two."""

from __future__ import annotations

import os

import pytest

from usrn_keras.errors import BackendError
from usrn_keras.ranks import ALONE, Ranks

jax_ranks = pytest.importorskip("usrn_keras.backends.jax_ranks", exc_type=ImportError)


def test_a_process_alone_connects_to_nothing():
    assert jax_ranks.join(Ranks()) is ALONE
    jax_ranks.leave(failed=True)
    assert jax_ranks.current_ranks() is ALONE
    assert jax_ranks.training_mesh(1).devices.shape == (1,)


def test_statistics_of_each_process_need_pytorch():
    with pytest.raises(BackendError, match="needs PyTorch, received JAX and 2 processes"):
        jax_ranks.join(Ranks(1, 2), local_statistics=True)


def test_connections_are_not_reported_on_stdout(capfd):
    with jax_ranks._no_native_stdout():
        os.write(1, b"[Gloo] Rank 0 is connected\n")
    os.write(1, b"results\n")
    assert capfd.readouterr().out == "results\n"


def test_handlers_of_signals_are_installed_again():
    import signal

    before = signal.getsignal(signal.SIGTERM)
    with jax_ranks._kept_signal_handlers():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(("agent", "port"), [(None, 29400), ("job", 29401)])
def test_the_port_of_torchrun_is_left_to_its_agent(agent, port, monkeypatch):
    asked = []

    def connect(address: str, *arguments: object, **options: object) -> None:
        asked.append(address)
        raise RuntimeError("no answer")

    variables = {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "1",
        "MASTER_ADDR": "h0",
        "MASTER_PORT": "29400",
    }
    variables |= {"TORCHELASTIC_RUN_ID": agent} if agent else {}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jax_ranks.jax.distributed, "initialize", connect)
    with pytest.raises(BackendError, match=f"process 1 of 2 cannot join the others at h0:{port}: no answer"):
        jax_ranks.join(Ranks(1, 2))
    assert asked == [f"h0:{port}"] and jax_ranks.current_ranks() is ALONE
