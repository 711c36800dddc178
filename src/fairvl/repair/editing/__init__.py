"""Images edited so that one attribute changes and the others stay."""

from .seam import CodeSpace, CodeStats, Dipole, Editor, EditorCard, Path, State, square_images

__all__ = ["CodeSpace", "CodeStats", "Dipole", "Editor", "EditorCard", "Path", "State", "square_images"]
