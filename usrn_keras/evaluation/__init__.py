"""Prediction and evaluation of trained models on images of any size."""

from usrn_keras.evaluation.entries import evaluate_run
from usrn_keras.evaluation.evaluate import EvaluationResult, ImageScore, evaluate, evaluate_with
from usrn_keras.evaluation.predictor import WHOLE, Inference, Predictor, inference_of, predict_ids
from usrn_keras.evaluation.segmenter import Segmentation, Segmenter, load
from usrn_keras.metrics.boundary_counts import boundary_counts

__all__ = [
    "WHOLE",
    "EvaluationResult",
    "ImageScore",
    "Inference",
    "Predictor",
    "Segmentation",
    "Segmenter",
    "boundary_counts",
    "evaluate",
    "evaluate_run",
    "evaluate_with",
    "inference_of",
    "load",
    "predict_ids",
]
