"""The audit: every measurement of a suite that applies to an encoder and its data, or to generated images."""

from .images import audit_images
from .run import audit
from .suite import Suite, load_suite

__all__ = ["Suite", "audit", "audit_images", "load_suite"]
