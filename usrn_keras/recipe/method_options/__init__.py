"""The options of each method as a section of the recipe. Does not import Keras."""

from __future__ import annotations

from usrn_keras.recipe.method_options.host_options import (
    CCT_PERTURBATIONS,
    AugSegOptions,
    CACOptions,
    CCTOptions,
    CPSOptions,
    FixMatchOptions,
    GCTOptions,
    UniMatchOptions,
)
from usrn_keras.recipe.method_options.offline_options import CReSTOptions, DARSOptions, DSBNOptions
from usrn_keras.recipe.method_options.option_section import MethodOptions
from usrn_keras.recipe.method_options.usrn_options import (
    ALL_TERMS,
    REQUIRED_TERMS,
    TERMS,
    Gate,
    PrototypeEnsembleOptions,
    SelfTrainingOptions,
    Term,
    USRNOptions,
    effective_gate,
    term_errors,
)

__all__ = [
    "ALL_TERMS",
    "CCT_PERTURBATIONS",
    "METHOD_OPTIONS",
    "REQUIRED_TERMS",
    "TERMS",
    "AugSegOptions",
    "CACOptions",
    "CCTOptions",
    "CPSOptions",
    "CReSTOptions",
    "DARSOptions",
    "DSBNOptions",
    "FixMatchOptions",
    "GCTOptions",
    "Gate",
    "MethodOptions",
    "PrototypeEnsembleOptions",
    "SelfTrainingOptions",
    "Term",
    "USRNOptions",
    "UniMatchOptions",
    "effective_gate",
    "term_errors",
]

METHOD_OPTIONS: dict[str, type[MethodOptions] | None] = {
    "supervised": None,
    "self_training": SelfTrainingOptions,
    "fixmatch": FixMatchOptions,
    "unimatch": UniMatchOptions,
    "augseg": AugSegOptions,
    "cps": CPSOptions,
    "cac": CACOptions,
    "dars": DARSOptions,
    "crest": CReSTOptions,
    "dsbn": DSBNOptions,
    "cct": CCTOptions,
    "gct": GCTOptions,
    "usrn": USRNOptions,
    "prototype_ensemble": PrototypeEnsembleOptions,
}
"""Options of each method of this package, by its name in `training.method`; None for no options."""
