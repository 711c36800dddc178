"""Families of datasets and architectures, by rule, so that a model nobody has listed yet finds its place too."""

from __future__ import annotations

from typing import Literal, TypeAlias

from ...errors import InputError

FamilyRule: TypeAlias = Literal["corrected", "paper"]

# The order matters for the paper's rule only: the first keyword found anywhere in the name wins.
_DATASETS = {
    "laion": "laion",
    "commonpool": "commonpool",
    "datacomp": "datacomp",
    "openai": "openai_wit",
    "webli": "webli",
    "metaclip": "metaclip",
    "dfn": "dfn",
    "merged2b": "merged2b",
    "yfcc15m": "yfcc15m",
    "cc12m": "cc12m",
    "pe_core": "pe_core",
}
_ARCHITECTURES = (
    ("nllb", "NLLB-CLIP"),
    ("coca", "CoCa"),
    ("convnext", "ConvNeXt"),
    ("eva", "EVA"),
    ("roberta", "Hybrid text"),
    ("mobileclip", "MobileCLIP"),
    ("vitamin", "ViTamin"),
    ("pe-core", "PE-Core"),
    ("siglip", "Specialized ViT"),
    ("plus", "Specialized ViT"),
    ("rn", "ResNet"),
    ("vit", "ViT"),
)


def dataset_family(dataset: str, rule: FamilyRule = "corrected") -> str:
    """Family of a pretraining dataset.

    Parameters
    ----------
    dataset : str
        The dataset's name, for example ``"laion2b"`` or ``"commonpool_xl_laion_filtered"``.
    rule : {"corrected", "paper"}
        ``"corrected"`` takes the keyword that stands first in the name: what the data were drawn from.
        ``"paper"`` is the rule behind the published study: keywords are tried in a fixed order with "laion" first,
        which counts CommonPool filtered *as LAION was* among the LAION sets.

    Returns
    -------
    str
        The family; a name without a known keyword is its own family.

    Raises
    ------
    InputError
        For an unknown rule or an empty name.

    References
    ----------
    Ghate et al. (2025), arXiv 2502.07957 (the families of its regression).

    Examples
    --------
    >>> dataset_family("commonpool_xl_laion_filtered"), dataset_family("commonpool_xl_laion_filtered", rule="paper")
    ('commonpool', 'laion')
    """
    if not dataset:
        raise InputError("the dataset has no name; expected one such as 'laion2b'.")
    name = dataset.lower()
    found = [key for key in _DATASETS if key in name]
    if rule == "corrected":
        # A fine-tuning set in front of its base ("mscoco_finetuned_laion2b") has no keyword of its own.
        key = min(found, key=name.index, default="")
    elif rule == "paper":
        key = found[0] if found else ""
    else:
        raise InputError(f"family rule {rule!r}; expected 'corrected' or 'paper'.")
    return _DATASETS[key] if key else name


def architecture_family(architecture: str) -> str:
    """Family of an open_clip architecture, by the first keyword that its name holds.

    Eight families are those of the published study (ViT, Specialized ViT, ConvNeXt, ResNet, EVA, CoCa, NLLB-CLIP,
    Hybrid text); MobileCLIP, ViTamin and PE-Core came later. "Specialized ViT" holds SigLIP and the "plus" widths;
    CLIPA models count as ViT. A name without a known keyword is its own family.

    Raises
    ------
    InputError
        For an empty name.

    Examples
    --------
    >>> [architecture_family(name) for name in ("ViT-B-32-quickgelu", "ViT-L-16-SigLIP-384", "RN50x4")]
    ['ViT', 'Specialized ViT', 'ResNet']
    """
    if not architecture:
        raise InputError("the architecture has no name; expected one such as 'ViT-B-32'.")
    name = architecture.lower()
    for keyword, family in _ARCHITECTURES:
        # "rn" also ends other words, so it has to open the name.
        if name.startswith(keyword) if keyword == "rn" else keyword in name:
            return family
    return architecture
