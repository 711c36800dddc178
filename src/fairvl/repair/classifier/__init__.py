"""Classifiers trained on a real set, on augmented ones and on their controls, at one budget, and held side by side."""

from .arms import ARMS
from .evaluation import classifier_metrics, crossed_interval
from .run import train_classifier

__all__ = ["ARMS", "classifier_metrics", "crossed_interval", "train_classifier"]
