"""Whole training steps against the same steps in numpy: losses, gradients, statistics, what stays fixed."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from tests.methods.build_method import build_method, compiled_step
from tests.methods.handmade import handmade_batch, handmade_branches, variables_of
from tests.methods.step_oracle import Pseudo, Settings, Weights, loss_with, read_weights, step, views_of
from tests.tools import fill
from usrn_keras.networks import Branch
from usrn_keras.optimizers import SGD

pytestmark = pytest.mark.every_backend

RATE, SLOWER, MOMENTUM, DECAY = 0.1, 0.5, 0.9, 0.01
WEIGHTS = {"threshold": 0.6, "lambda_u": 0.7, "lambda_sub": 1.6}
CASES = {
    "supervised": Settings("supervised", ignore_index=9),
    "self_training": Settings("self_training", threshold=0.6, lambda_u=0.7),
    "prototype_ensemble": Settings("prototype_ensemble", threshold=0.6, lambda_u=0.7, ignore_index=9),
    "fallback": Settings("usrn", **WEIGHTS),
    "stop": Settings("usrn", gate="stop", ignore_index=9, **WEIGHTS),
    "off": Settings("usrn", gate="off", **WEIGHTS),
    "no_sst": Settings("usrn", terms=("msl", "ost", "usr"), **WEIGHTS),
}


def branches_of_seed() -> tuple[Branch, Branch]:
    """Random weights, with logits large enough that pixels lie on both sides of every threshold."""
    branch, sub_branch = handmade_branches()
    fill(variables_of(branch, sub_branch))
    for one, factor in ((branch, 1), (sub_branch, 4)):
        one.classifier.set_weights([factor * values for values in one.classifier.get_weights()])
    return branch, sub_branch


@pytest.mark.parametrize("case", CASES)
def test_two_steps_equal_numpy(case):
    settings = CASES[case]
    branch, sub_branch = branches_of_seed()
    model = build_method(branch=branch, sub_branch=sub_branch, **asdict(settings))
    optimizer = SGD(RATE, momentum=MOMENTUM, coupled_weight_decay=DECAY)
    train = compiled_step(model, optimizer, backbone_multiplier=SLOWER)
    momentum: Weights = {}
    for number in range(2):
        batch, before = (
            handmade_batch(number, ignore_index=settings.ignore_index),
            read_weights(branch, sub_branch),
        )
        views = views_of(batch)
        expected, pseudo, statistics = step(before, views, settings)
        found = {name: float(value) for name, value in train(batch).items()}
        after = read_weights(branch, sub_branch)
        assert pseudo.margin > 2e-5  # no pixel is decided by rounding
        assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5, abs=1e-6)
        for name, value in statistics.items():
            np.testing.assert_allclose(after[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
        momentum = check_update(before, after, momentum, views, settings, pseudo)


def check_update(
    before: Weights, after: Weights, momentum: Weights, views: dict, settings: Settings, pseudo: Pseudo
) -> Weights:
    """Every trained variable moved by the gradient, every other one stayed; returns the momentum of each."""
    taken = {}
    for name in before:
        if "moving" in name:
            continue
        if not trained(name, settings):
            np.testing.assert_array_equal(after[name], before[name], err_msg=name)
            continue
        rate = RATE * (SLOWER if name.startswith("stem") or "/tail/" in name else 1)
        taken[name] = (before[name] - after[name]) / rate
        gradient = taken[name] - MOMENTUM * momentum.get(name, 0) - DECAY * before[name]
        direction = np.random.default_rng(len(taken)).normal(size=gradient.shape)
        direction /= np.linalg.norm(direction)
        slope = difference(before, name, direction, views, settings, pseudo)
        assert (gradient * direction).sum() == pytest.approx(slope, rel=1e-4, abs=2e-5), name
    return taken


def trained(name: str, settings: Settings) -> bool:
    return not name.startswith("F_sub") or settings.method == "usrn"


def difference(
    weights: Weights, name: str, direction: np.ndarray, views: dict, settings: Settings, pseudo: Pseudo
) -> float:
    """The slope of the loss as one variable moves in a direction."""
    distance = 1e-6
    losses = [
        loss_with(weights | {name: weights[name] + sign * distance * direction}, views, settings, pseudo)
        for sign in (1, -1)
    ]
    return (losses[0] - losses[1]) / (2 * distance)


@pytest.mark.parametrize(
    "option",
    [
        {"threshold": 0.75},
        {"lambda_u": 1.0},
        {"lambda_sub": 1.0},
        {"gate": "stop"},
        {"gate": "off"},
        {"terms": ("msl", "ost", "usr")},
        {"method": "prototype_ensemble"},
        {"method": "self_training"},
    ],
    ids=str,
)
def test_every_option_matters_here(option):
    """The steps above would be others without it: a method that forgets an option fails them."""
    weights, views = read_weights(*branches_of_seed()), views_of(handmade_batch(0))
    settings = Settings("usrn", **WEIGHTS)
    losses = [step(weights, views, one)[0]["loss"] for one in (settings, replace(settings, **option))]
    assert abs(losses[0] - losses[1]) > 1e-3
