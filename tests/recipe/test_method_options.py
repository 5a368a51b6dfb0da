"""The terms of USRN's ablation, which gate they mean, and which options contradict each other."""

from __future__ import annotations

import pytest

from usrn_keras.errors import RecipeError
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.method_options import ALL_TERMS, METHOD_OPTIONS, TERMS, effective_gate, term_errors

MODELS = (("msl",), ("msl", "ost"), ("msl", "ost", "usr"), ("msl", "ost", "usr", "sst"))  # I to IV of Table 3


@pytest.mark.parametrize(
    ("terms", "error"),
    [
        ([], "msl is required"),
        (["ost"], "to train F alone use method self_training"),
        (["ost", "usr"], "msl is required"),
        (["msl", "usr"], "usr needs ost"),
        (["msl", "ost", "egm"], "egm needs usr"),
        (["msl", "msl"], "a term is listed more than once"),
        (["mls"], "unknown: mls"),
    ],
)
def test_terms_that_make_no_objective(terms, error):
    assert any(error in line for line in term_errors(terms))


def test_terms_that_make_one():
    assert not [error for terms in (*MODELS, tuple(TERMS)) for error in term_errors(terms)]


def test_the_gate_of_the_terms():
    gates = [effective_gate(terms, "stop") for terms in (MODELS[1], MODELS[3], ALL_TERMS)]
    assert gates == ["closed", "off", "stop"]


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        (["usrn.sub_head=centroids"], "usrn.sub_head: 'centroids' needs training.start = 'baseline'"),
        (
            ["training.method=prototype_ensemble"],
            "training.start: must be 'baseline' with training.method = 'prototype_ensemble'",
        ),
        (["usrn.terms=['ost', 'sst']"], "usrn.terms: msl is required"),
        (
            ["usrn.terms=['msl', 'ost', 'usr', 'egm']", "usrn.sub_threshold=0.9"],
            "usrn.sub_threshold: needs the term sst",
        ),
        (["usrn.terms=['msl', 'ost']", "usrn.teacher_decay=0.9"], "usrn.teacher_decay: needs the term sst"),
        (["usrn.gate=off", "usrn.gate_level=class"], "usrn.gate_level: needs the entropy gate"),
        (
            ["training.method=fixmatch", "training.with_usrn=true", "usrn.gate_level=class"],
            "usrn.gate_level: not used with training.with_usrn = true",
        ),
        (
            ["training.method=cps", "cps.cutmix=true", "cps.recompute=true"],
            "cps.recompute: must be false with cps.cutmix = true",
        ),
        (
            ["training.method=cps", "fixmatch.cutmix=true"],
            "[fixmatch]: used only with training.method",
        ),
        (
            [
                *("training.method=cct", "cct.drop=0", "cct.cutout=0", "cct.vat=0", "cct.context_masking=0"),
                *("cct.object_masking=0", "cct.feature_drop=0", "cct.feature_noise=0"),
            ],
            "cct: must have an auxiliary decoder, received 0 of each; set one of cct.drop, cct.cutout",
        ),
        (["training.method=cct", "cct.supervised=ohem"], "cct.supervised: input should be 'ce' or 'abce'"),
        (
            ["cps.weight=1"],
            "[cps]: used only with training.method = 'cps', received",
        ),
        (
            ["training.method=cac", "cac.negatives_by=gated"],
            "cac.negatives_by: 'gated' needs training.with_usrn = true",
        ),
        (["training.method=cac", "cac.bank_steps=0"], "cac.bank_steps: input should be greater than or"),
        (["training.method=cps", "cps.threshold=0.9"], "cps.threshold: unknown key"),
        (["usrn.threshold=1.5"], "usrn.threshold: input should be less than or equal to 1"),
    ],
)
def test_options_that_contradict_the_recipe(overrides, error):
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", overrides)
    assert error in " ".join(caught.value.errors), caught.value.errors


@pytest.mark.parametrize("method", METHOD_OPTIONS)
def test_every_method_has_its_own_options_alone(method):
    recipe = load_recipe("quickstart", [f"training.method={method}", "training.start=baseline"])
    sections = set(recipe.model_dump()) - {"data", "network", "subclasses", "views", "training", "evaluation"}
    assert sections == ({method} if method != "supervised" else set())
    assert (recipe.options is None) == (method == "supervised")
