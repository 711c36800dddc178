"""Which vision-language encoders there are, and what each was made of: data, curation, architecture, size.

The table is ours: names and configurations come from open_clip's own registry, what a dataset is from `datasets.toml`
with a source per line, families from rules. `generate` writes it anew.
"""

from .entries import (
    COVARIATES,
    FILTERINGS,
    CatalogueEntry,
    catalogue_models,
    covariates,
    find_entry,
    load_catalogue,
)
from .families import architecture_family, dataset_family

__all__ = [
    "COVARIATES",
    "FILTERINGS",
    "CatalogueEntry",
    "architecture_family",
    "catalogue_models",
    "covariates",
    "dataset_family",
    "find_entry",
    "load_catalogue",
]
