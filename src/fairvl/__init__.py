"""Measure and repair social bias across the vision-language pipeline."""

from importlib import import_module

__version__ = "0.1.0"

# Every public name once, with its home; nothing is imported until it is asked for.
_HOMES = {
    "EmbeddingStore": "sources.store",
    "EncoderCard": "sources.encoders",
    "FairVLError": "errors",
    "Finding": "findings",
    "Findings": "findings",
    "LinearOperator": "repair.debias",
    "Operator": "repair.debias",
    "apply": "repair.debias",
    "audit": "measure.audit",
    "audit_images": "measure.audit",
    "augment": "repair.editing.augment",
    "bake": "repair.debias",
    "caption_group": "sources.captions",
    "captions": "repair.captions",
    "check": "report",
    "compare_methods": "repair.debias",
    "debias": "repair.debias",
    "dedup": "repair.dedup",
    "demo": "reproduce.demos",
    "embed": "sources.embed",
    "encoder": "sources.encoders",
    "finetune": "repair.pretraining",
    "generate": "sources.generators",
    "load_bank": "sources.prompts",
    "load_dataset": "sources.datasets",
    "load_encoder": "sources.encoders",
    "load_fusion": "sources.fusion",
    "load_generator": "sources.generators",
    "load_registry": "sources.stimuli",
    "neutralize": "repair.captions",
    "pretrain": "repair.pretraining",
    "report": "report",
    "study": "study",
    "sweep": "study.sweep",
    "train_classifier": "repair.classifier",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'fairvl' has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
