"""The audit: every measurement of a suite that applies to an encoder and its data, as Findings."""

from .run import audit
from .suite import Suite, load_suite

__all__ = ["Suite", "audit", "load_suite"]
