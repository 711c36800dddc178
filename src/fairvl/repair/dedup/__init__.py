"""Semantic deduplication that keeps minorities: one neighbour pass, many policies."""

from .audit import audit_keep as audit_keep
from .audit import promises as promises
from .audit import witnesses as witnesses
from .borders import BorderPairs as BorderPairs
from .borders import border_pairs as border_pairs
from .bound import principal_axes as principal_axes
from .concepts import crossed as crossed
from .concepts import membership as membership
from .concepts import relevance as relevance
from .files import read_kept as read_kept
from .files import write_keep as write_keep
from .files import write_subset as write_subset
from .keeplist import KeepList as KeepList
from .kmeans import Clustering as Clustering
from .kmeans import TwoLevel as TwoLevel
from .kmeans import assign as assign
from .kmeans import spherical_kmeans as spherical_kmeans
from .ledger import Ledger as Ledger
from .neighbours import Neighbours as Neighbours
from .neighbours import neighbours as neighbours
from .run import dedup as dedup
from .select import POLICIES as POLICIES
from .select import select as select
