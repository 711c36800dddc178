"""Models that read image and text together: they score a pair, answer a question, fill in a word."""

from __future__ import annotations

from .albef import AlbefShape as AlbefShape
from .albef import albef_module as albef_module
from .albef import from_published as from_published
from .albef import published_names as published_names
from .albef_model import build_albef as build_albef
from .blip import build_blip as build_blip
from .detector import DetectorRegions as DetectorRegions
from .lxmert import build_lxmert as build_lxmert
from .names import load_fusion as load_fusion
from .region_files import RegionFile as RegionFile
from .region_files import read_regions as read_regions
from .regions import PatchRegions as PatchRegions
from .regions import RegionFeatures as RegionFeatures
from .scoring import join as join
from .scoring import take as take
from .seam import FusionCard as FusionCard
from .seam import FusionModel as FusionModel
from .vilt import build_vilt as build_vilt
from .words import Words as Words
from .words import build_words as build_words

__all__ = [
    "AlbefShape",
    "DetectorRegions",
    "FusionCard",
    "FusionModel",
    "PatchRegions",
    "RegionFeatures",
    "RegionFile",
    "Words",
    "albef_module",
    "build_albef",
    "build_blip",
    "build_lxmert",
    "build_vilt",
    "build_words",
    "from_published",
    "join",
    "load_fusion",
    "published_names",
    "read_regions",
    "take",
]
