"""Writes `models.csv` from the registry of the installed open_clip: run ``python -m fairvl.study.catalogue.generate``.

Needs torch, open_clip and transformers, and no network: models are built without weights, and the text towers that
open_clip takes from a hub are built from the sizes below.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...atomic import write_atomic

TABLE = Path(__file__).with_name("models.csv")
COLUMNS = ("architecture", "pretrained", "dataset", "params_m", "image_tower", "source", "paper_2025")

# The checkpoints of Cherti et al. 2023 (arXiv 2212.07143): size, data, samples seen, learning rate, batch.
SCALING_LAWS = """
B-32 80M 3B 5e-4 32k, B-32 80M 13B 5e-4 32k, B-32 80M 34B 1e-3 88k, B-32 400M 3B 1e-3 88k, B-32 400M 13B 1e-3 86k,
B-32 400M 34B 5e-4 32k, B-32 2B 3B 1e-3 88k, B-32 2B 13B 5e-4 32k, B-32 2B 34B 1e-3 79k, B-16 80M 3B 1e-3 88k,
B-16 80M 13B 1e-3 88k, B-16 80M 34B 1e-3 88k, B-16 400M 3B 1e-3 88k, B-16 400M 13B 5e-4 33k, B-16 400M 34B 1e-3 88k,
B-16 2B 3B 1e-3 88k, B-16 2B 13B 1e-3 88k, B-16 2B 34B 1e-3 88k, L-14 80M 3B 1e-3 88k, L-14 80M 13B 1e-3 88k,
L-14 80M 34B 1e-3 88k, L-14 400M 3B 1e-3 88k, L-14 400M 13B 1e-3 86k, L-14 400M 34B 1e-3 86k, L-14 2B 3B 1e-3 88k,
L-14 2B 13B 1e-3 86k, L-14 2B 34B 1e-3 86k, H-14 2B 34B 5e-4 79k, g-14 2B 13B 5e-4 64k
"""
# open_clip's own names of runs that are among them, or that share architecture, data and samples with one.
SAME_AS_SCALING_LAWS = {
    ("ViT-B-32", "laion400m_e32"),
    ("ViT-B-32", "laion2b_s34b_b79k"),
    ("ViT-B-16", "laion400m_e32"),
    ("ViT-B-16", "laion2b_s34b_b88k"),
    ("ViT-L-14", "laion400m_e32"),
    ("ViT-L-14", "laion2b_s32b_b82k"),
    ("ViT-H-14", "laion2b_s32b_b79k"),
    ("ViT-g-14", "laion2b_s12b_b42k"),
}
# What open_clip lists since 2.24.0, the version that the published model list fits.
LATER_ARCHITECTURES = ("SigLIP2", "SigLIP-378", "SO400M-16", "MobileCLIP", "ViTamin", "PE-Core", "worldwide")
LATER_TAGS = ("mrl", "metaclip_altogether", "dfn2b_s39b")
LATER = {("ViT-bigG-14", "metaclip_fullcc"), ("ViT-bigG-14-quickgelu", "metaclip_fullcc")}
QUICKGELU = "-quickgelu"


def main() -> None:
    """Write the table beside this file."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows())
    write_atomic(TABLE, out.getvalue())


def rows() -> list[tuple[str, ...]]:
    """One row per (architecture, tag) of the installed open_clip without repeats, then the scaling-law models."""
    import open_clip

    found = distinct(open_clip.list_pretrained())
    chosen = {pair for pair in found if in_paper(*pair)}
    source = f"open_clip {open_clip.__version__}"
    sizes: dict[str, tuple[str, str]] = {}
    table: list[tuple[str, ...]] = []
    cherti = "Cherti et al. 2023"
    entries = [(a, t, dataset_of(a, t), source, (a, t) in chosen) for a, t in found]
    entries += [(architecture, name, data, cherti, True) for architecture, name, data in scaling_laws()]
    for architecture, tag, data, origin, paper in entries:
        if architecture not in sizes:
            sizes[architecture] = measure(architecture)
        table.append((architecture, tag, data, *sizes[architecture], origin, "1" if paper else "0"))
    return table


def scaling_laws() -> list[tuple[str, str, str]]:
    """Architecture, checkpoint name and dataset of the 29 models."""
    models = []
    for text in SCALING_LAWS.split(","):
        size, data, samples, rate, batch = text.split()
        name = f"Model-{size}_Data-{data}_Samples-{samples}_lr-{rate}_bs-{batch}.pt"
        models.append((f"ViT-{size}", name, f"laion{data.lower()}"))
    return models


def distinct(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each set of weights once: under the activation it was trained with.

    open_clip lists weights trained with quick-GELU under the plain name and under ``-quickgelu``. The plain name is
    kept where it was listed first (OpenAI's weights switch the activation by themselves), else the ``-quickgelu`` one.
    """
    listed = [(a, t) for a, t in pairs if not t.endswith("_e31")]
    kept = []
    for architecture, tag in listed:
        plain = architecture.removesuffix(QUICKGELU)
        twice = (plain, tag) in listed and (plain + QUICKGELU, tag) in listed
        by_plain = not tag.startswith(("metaclip", "dfn")) or (plain, tag) == ("ViT-B-16", "dfn2b")
        if not twice or (architecture == plain) == by_plain:
            kept.append((architecture, tag))
    return kept


def in_paper(architecture: str, tag: str) -> bool:
    """Whether the published study's rules keep a model of open_clip's list (the scaling-law models come on top)."""
    later = any(key in architecture for key in LATER_ARCHITECTURES) or tag in LATER_TAGS
    return not (
        later
        or architecture == "convnext_xxlarge"
        or (architecture, tag) in LATER
        or (architecture, tag) in SAME_AS_SCALING_LAWS
    )


def dataset_of(architecture: str, tag: str) -> str:
    """The pretraining dataset that a tag of open_clip means."""
    if architecture.startswith("nllb-clip"):  # named after the image tower's data, as in the published study
        return "webli" if "siglip" in architecture else "openai_wit"
    if architecture.startswith("PE-Core"):
        return "pe_core"
    if tag == "webli":
        return "webli_multilingual" if "i18n" in architecture or "SigLIP2" in architecture else "webli"
    named = {
        "openai": "openai_wit",
        "datacomp_xl": "datacomp1b",
        "datacomp_s34b": "datacomp1b",
        "datacompdr": "datacompdr1b",
        "frozen_laion5b": "laion5b",
        "commonpool_xl_clip": "commonpool_xl_clip_filtered",
        "commonpool_xl_laion": "commonpool_xl_laion_filtered",
        "dfn2b": "dfn2b",
        "mscoco_finetuned_laion2b": "mscoco_finetuned_laion2b",
        "laion_aesthetic": "laion_aesthetic",
    }
    for start, dataset in named.items():
        if tag.startswith(start):
            return dataset
    if tag.startswith(("commonpool", "datacomp_")):
        return "_".join(tag.split("_")[:2])
    return tag if tag.startswith("metaclip") else tag.split("_")[0]


def measure(architecture: str) -> tuple[str, str]:
    """Parameters in millions, and the kind of image tower, of a model that is built without weights."""
    import open_clip
    import torch
    from transformers import AutoConfig

    text: dict[str, Any] = {
        "roberta-base": _roberta("roberta", 50265, 768, 12),
        "xlm-roberta-base": _roberta("xlm-roberta", 250002, 768, 12),
        "xlm-roberta-large": _roberta("xlm-roberta", 250002, 1024, 24),
        "facebook/nllb-200-distilled-600M": _nllb(12, 4096),
        "facebook/nllb-200-distilled-1.3B": _nllb(24, 8192),
    }
    original = AutoConfig.from_pretrained
    try:
        AutoConfig.from_pretrained = lambda name, *_, **__: text[name]
        with torch.device("meta"):
            model = open_clip.create_model(
                architecture, pretrained=None, device="meta", pretrained_hf=False, load_weights=False
            )
    finally:
        AutoConfig.from_pretrained = original
    count = sum(parameter.numel() for parameter in model.parameters())
    visual = open_clip.get_model_config(architecture)["vision_cfg"]
    convolution = isinstance(visual.get("layers"), list) or "convnext" in visual.get("timm_model_name", "")
    hybrid = any(key in visual.get("timm_model_name", "") for key in ("vitamin", "fastvit"))
    return f"{count / 1e6:.2f}", "convolution" if convolution else "hybrid" if hybrid else "transformer"


def _roberta(kind: str, vocabulary: int, width: int, layers: int) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(
        kind,
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
        max_position_embeddings=514,
        type_vocab_size=1,
    )


def _nllb(layers: int, inner: int) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(
        "m2m_100", vocab_size=256206, d_model=1024, encoder_layers=layers, decoder_layers=layers,
        encoder_ffn_dim=inner, decoder_ffn_dim=inner, max_position_embeddings=1024,
    )  # fmt: skip


if __name__ == "__main__":
    main()
