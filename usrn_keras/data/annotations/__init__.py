"""Annotations of labelling tools: drawn as masks, and written from predictions."""

from __future__ import annotations

from usrn_keras.data.annotations.import_annotations import import_annotations
from usrn_keras.data.annotations.import_report import ImportReport
from usrn_keras.data.annotations.recognise import is_annotation_source

__all__ = ["ImportReport", "import_annotations", "is_annotation_source"]
