"""DARS, CReST and DSBN: the contract, what they promise, and their stages."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from tests.methods.build_method import compiled_step
from tests.methods.check_method import check_method
from tests.methods.handmade import PARENTS, handmade_branches, handmade_pseudo_batch
from tests.methods.logit_networks import LogitNetwork
from tests.methods.rival_golden import rival_golden
from tests.tools import fill
from usrn_keras.errors import RecipeError
from usrn_keras.methods import DARS, DSBN, CReST, Network, SecondHead, Supervised, stages_of
from usrn_keras.optimizers import SGD
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.stage_plan import Cluster, Label, Train, stages_from_json, stages_to_json

pytestmark = [
    pytest.mark.every_backend,
    # `keras.metrics.MeanIoU` asks JAX for int64, which it has only with `jax_enable_x64` (Keras 3.15).
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
]


def make(method=DARS, **options):
    return method([Network(handmade_branches()[0])], **options)


def with_usrn(**options) -> DARS:
    return DARS([Network(*handmade_branches())], second_head=SecondHead(PARENTS, lambda_sub=0.5), **options)


def values_of(terms: dict) -> dict[str, float]:
    return {name: float(ops.convert_to_numpy(value)) for name, value in terms.items()}


def test_contract_of_dars_with_usrn(tmp_path):
    check_method(with_usrn, handmade_pseudo_batch, tmp_path)


def test_both_streams_weigh_the_same():
    """The loss of the pseudo masks is the supervised one of the same images."""
    method, batch = make(), handmade_pseudo_batch(0)
    fill(method.variables)
    found = values_of(method.loss_terms(batch))
    swapped = {"labelled": batch["pseudo"], "labels": batch["pseudo_labels"]}
    swapped |= {"pseudo": batch["labelled"], "pseudo_labels": batch["labels"]}
    swapped |= {"labelled_parameters": batch["pseudo_parameters"]}
    swapped |= {"pseudo_parameters": batch["labelled_parameters"]}
    other = values_of(method.loss_terms(swapped))
    assert found["loss"] == pytest.approx(found["supervised"] + found["pseudo"], rel=1e-6)
    assert other["supervised"] == pytest.approx(found["pseudo"], rel=1e-5)
    assert other["pseudo"] == pytest.approx(found["supervised"], rel=1e-5)


def test_labels_and_sublabels_of_a_pixel_are_read_separately():
    method, batch = with_usrn(), handmade_pseudo_batch(0)
    fill(method.variables)
    full = values_of(method.loss_terms(batch))
    none = values_of(method.loss_terms(batch | {"pseudo_labels": np.full_like(batch["pseudo_labels"], 255)}))
    assert none["pseudo_sub"] == pytest.approx(full["pseudo_sub"], rel=1e-6) and none["pseudo"] == 0
    expected = full["supervised"] + full["pseudo"] + 0.5 * (full["supervised_sub"] + full["pseudo_sub"])
    assert full["loss"] == pytest.approx(expected, rel=1e-6)


def test_without_pseudo_masks_a_step_is_that_of_the_baseline():
    """Also with an F_sub: the teacher of DARS + USRN learns from the labelled images alone."""
    methods = [make(pseudo=False), Supervised(handmade_branches()[0])]
    batch, results = handmade_pseudo_batch(0), []
    for method in methods:
        fill(method.variables)
        assert method.batch_keys == ["labelled", "labels"]
        loss = float(compiled_step(method, SGD(0.05))(batch)["loss"])
        results.append([loss, *(ops.convert_to_numpy(v.value) for v in method.trainable_variables)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert with_usrn(pseudo=False).batch_keys == ["labelled", "labels", "sublabels"]
    assert with_usrn().batch_keys == [
        "labelled", "labels", "pseudo", "pseudo_labels", "sublabels", "pseudo_sublabels",
    ]  # fmt: skip


@pytest.mark.parametrize(("case", "images"), [("one_noisy", [0]), ("two_noisy", [0, 2])])
def test_dsbn_has_the_loss_of_the_official_code(case, images):
    golden = rival_golden("dsbn")
    method = make(DSBN, weights="official")
    method.networks = [LogitNetwork(5, [0]), LogitNetwork(5, [0])]
    labels = golden["labels"].astype("int32")
    terms = method.loss_terms(
        {
            "labelled": golden["logits"][[1]],
            "labels": labels[[1]],
            "pseudo": golden["logits"][images],
            "pseudo_labels": labels[images],
        }
    )
    assert values_of(terms)["loss"] == pytest.approx(float(golden[f"{case}/loss"]), rel=1e-5)


def test_strong_views_of_dsbn_do_not_reach_the_statistics_of_f():
    """F has those of the labelled images; the convolutions learn from both streams."""
    states = []
    for seed in (1, 2):
        method, batch = make(DSBN), handmade_pseudo_batch(0)
        fill(method.variables)
        other = handmade_pseudo_batch(seed)
        batch |= {name: other[name] for name in ("pseudo", "pseudo_labels")}
        compiled_step(method, SGD(0.05))(batch)
        states.append(
            {
                (number, i, v.name): np.array(ops.convert_to_numpy(v.value))
                for number, network in enumerate(method.networks)
                for i, v in enumerate(network.F.variables)
            }
        )
    same = {key for key in states[0] if np.array_equal(states[0][key], states[1][key])}
    statistics = {key for key in states[0] if key[2] in ("moving_mean", "moving_variance")}
    assert {key for key in statistics if key[0] == 0} <= same
    assert {key for key in statistics if key[0] == 1}.isdisjoint(same)
    assert not any(key in same for key in states[0] if key[2] in ("kernel", "depthwise_kernel"))


def test_dsbn_is_one_network():
    with pytest.raises(ValueError, match="`networks` must be one network, received 2"):
        DSBN([Network(handmade_branches()[0]), Network(handmade_branches()[0])])
    with pytest.raises(ValueError, match="`weights` must be one of own, official"):
        make(DSBN, weights="mean")
    assert make(DSBN).inputs.strong == 1 and make(DSBN, pseudo=False).inputs.strong == 0
    assert len(make(DSBN).get_config()["networks"]) == 1


def plan(*overrides: str):
    return stages_of(load_recipe("quickstart", ["training.baseline_steps=100", *overrides]))


def test_stages_of_dars():
    stages = plan("training.method=dars", "training.usrn_steps=30", "dars.ratios=[0.2, 0.5]")
    assert [stage.name for stage in stages] == ["baseline", "labels_1", "dars_1", "labels_2", "dars"]
    assert stages[1] == Label("labels_1", "baseline", "quotas", amount=0.2)
    assert stages[3].teacher == "dars_1" and stages[3].amount == 0.5
    rounds = [(s.begin, s.steps, s.length, s.start, s.continues, s.labels) for s in (stages[2], stages[4])]
    assert rounds == [
        (100, 130, 30, "baseline", True, "labels_1"), (130, 160, 30, "dars_1", True, "labels_2"),
    ]  # fmt: skip
    assert stages_from_json(stages_to_json(stages)) == stages


def test_stages_of_dars_with_usrn():
    keys = ["training.method=dars", "training.with_usrn=true", "usrn.on_disagreement=override"]
    stages = plan(*keys, "training.start=baseline")
    assert [type(stage) for stage in stages[:4]] == [Train, Cluster, Train, Label]
    teacher = stages[2]
    assert (teacher.name, teacher.method, teacher.start, teacher.steps) == (
        "teacher",
        "dars",
        "baseline",
        100,
    )
    assert stages[3].teacher == "teacher" and stages[4].start == "teacher"
    assert stages[-1].title == "DARS + USRN" and not teacher.labels


@pytest.mark.parametrize(("start", "expected"), [("imagenet", ""), ("baseline", "baseline")])
def test_stages_of_crest(start, expected):
    stages = plan("training.method=crest", "crest.generations=2", f"training.start={start}")
    labels, trained = stages[1::2], stages[2::2]
    assert [(one.rule, round(one.amount, 6), one.temperature) for one in labels] == [
        ("rates", 0.333333, 0.75), ("rates", 0.333333, 0.5),
    ]  # fmt: skip
    assert [(one.begin, one.start, one.continues) for one in trained] == [(0, expected, False)] * 2
    assert [one.teacher for one in labels] == ["baseline", "crest_1"]
    plain = plan("training.method=crest", "crest.alignment=false")
    assert len(plain) == 11 and {stage.temperature for stage in plain[1::2]} == {None}
    assert make(CReST).inputs.keys == ["labelled", "labels", "pseudo", "pseudo_labels"]


def test_stages_of_dsbn():
    _, labels, last = plan("training.method=dsbn")
    assert (labels.rule, labels.temperature, last.labels, last.begin) == ("all", None, "labels", 0)


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        (["training.method=dars", "dars.ratios=[]"], "dars.ratios: list should have at least 1 item"),
        (["training.method=dars", "dars.ratios=[0.4, 1.5]"], "dars.ratios.1: input should be less than or"),
        (["training.method=dars", "dars.ratios=[0]"], "dars.ratios.0: input should be greater than 0"),
        (["training.method=crest", "crest.generations=0"], "crest.generations: input should be greater than"),
        (["training.method=dsbn", "dsbn.weights=mean"], "dsbn.weights: input should be 'own' or 'official'"),
        (["training.method=dsbn", "training.with_usrn=true"], "training.with_usrn: must be false with"),
        (
            ["training.method=dars", "training.with_usrn=true"],
            "usrn.on_disagreement: required with training.method = 'dars', which has no confidence",
        ),
        (
            ["training.method=dars", "training.with_usrn=true", "usrn.threshold=0.9"],
            "usrn.threshold: not used with training.method = 'dars', whose quotas select the sublabels",
        ),
    ],
)  # fmt: skip
def test_options_out_of_range(overrides, error):
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", overrides)
    assert any(line.startswith(error) for line in caught.value.errors), caught.value.errors
