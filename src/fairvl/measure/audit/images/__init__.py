"""The audit of generated images: a folder, its prompts and a judge, as Findings."""

from .run import audit_images, image_arms
from .table import ImageTable

__all__ = ["ImageTable", "audit_images", "image_arms"]
