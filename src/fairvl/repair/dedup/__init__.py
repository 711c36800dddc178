"""Semantic deduplication that keeps minorities: one neighbour pass, many policies."""

from .bound import principal_axes as principal_axes
from .concepts import crossed as crossed
from .concepts import membership as membership
from .concepts import relevance as relevance
from .keeplist import KeepList as KeepList
from .ledger import Ledger as Ledger
from .neighbours import Neighbours as Neighbours
from .neighbours import neighbours as neighbours
from .select import POLICIES as POLICIES
from .select import select as select
