"""Many models through one suite of association tests: a resumable sweep, its cache, its table.

``sweep`` measures, ``read_models`` reads the list of models, ``merge`` joins sweeps, ``join_results`` their tables.
"""

from .cache import VectorCache as VectorCache
from .cache import encoder_key as encoder_key
from .encoding import require_steady as require_steady
from .merge import merge as merge
from .models import ModelEntry as ModelEntry
from .models import read_models as read_models
from .run import sweep as sweep
from .table import check_results as check_results
from .table import join_results as join_results
from .weights import WeightStore as WeightStore

__all__ = [
    "ModelEntry",
    "VectorCache",
    "WeightStore",
    "check_results",
    "encoder_key",
    "join_results",
    "merge",
    "read_models",
    "require_steady",
    "sweep",
]
