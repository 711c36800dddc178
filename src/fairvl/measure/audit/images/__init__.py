"""The audit of generated images: a folder, its prompts and a judge, as Findings."""

from .run import audit_images, image_arms

__all__ = ["audit_images", "image_arms"]
