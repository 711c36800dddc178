"""Closed-form debiasing of embeddings: each `fit` returns a frozen `LinearOperator`."""

from .fitting import debias as debias
from .operator import Diagnosis as Diagnosis
from .operator import LinearOperator as LinearOperator
from .operator import OperatorHeader as OperatorHeader
from .projection import CalibratedProjection as CalibratedProjection
from .projection import OrthogonalProjection as OrthogonalProjection
from .projection import random_control as random_control
from .projection import random_projection as random_projection
from .wrapped import VanishedWarning as VanishedWarning
from .wrapped import WrappedEncoder as WrappedEncoder

__all__ = [
    "CalibratedProjection",
    "Diagnosis",
    "LinearOperator",
    "OperatorHeader",
    "OrthogonalProjection",
    "VanishedWarning",
    "WrappedEncoder",
    "debias",
    "random_control",
    "random_projection",
]
