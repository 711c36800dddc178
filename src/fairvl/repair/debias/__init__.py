"""Closed-form debiasing of embeddings: each `fit` returns a frozen `Operator`, nearly always a `LinearOperator`."""

from .applying import apply as apply
from .baking import BakedUnchecked as BakedUnchecked
from .baking import bake as bake
from .base import Operator as Operator
from .bypass import Bypass as Bypass
from .bypass import BypassOperator as BypassOperator
from .circle import CircleMethod as CircleMethod
from .circle import CircleOperator as CircleOperator
from .circle import utility_bound as utility_bound
from .comparison import Comparison as Comparison
from .comparison import compare_methods as compare_methods
from .equalisation import Equalisation as Equalisation
from .equalisation import EqualisingOperator as EqualisingOperator
from .fitting import debias as debias
from .header import Diagnosis as Diagnosis
from .header import OperatorHeader as OperatorHeader
from .imputation import FeatureImputation as FeatureImputation
from .leace import LabelledMoments as LabelledMoments
from .leace import Leace as Leace
from .leace import MeanDifference as MeanDifference
from .operator import LinearOperator as LinearOperator
from .projection import CalibratedProjection as CalibratedProjection
from .projection import OrthogonalProjection as OrthogonalProjection
from .projection import join as join
from .projection import random_control as random_control
from .projection import random_projection as random_projection
from .wrapped import VanishedWarning as VanishedWarning
from .wrapped import WrappedEncoder as WrappedEncoder

__all__ = [
    "BakedUnchecked",
    "Bypass",
    "BypassOperator",
    "CalibratedProjection",
    "CircleMethod",
    "CircleOperator",
    "Comparison",
    "Diagnosis",
    "Equalisation",
    "EqualisingOperator",
    "FeatureImputation",
    "LabelledMoments",
    "Leace",
    "LinearOperator",
    "MeanDifference",
    "Operator",
    "OperatorHeader",
    "OrthogonalProjection",
    "VanishedWarning",
    "WrappedEncoder",
    "apply",
    "bake",
    "compare_methods",
    "debias",
    "join",
    "random_control",
    "random_projection",
    "utility_bound",
]
