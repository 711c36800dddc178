"""LXMERT: masked words, matching and answers from text and regions of the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from ...errors import FusionError
from .folder import write_folder
from .loading import load_config, load_module, load_words, open_source, read_answers
from .pixels import check_images
from .region_files import read_regions
from .regions import PatchRegions, RegionFeatures, RegionSource, stack_regions
from .seam import FusionModel
from .words import Words, build_words


@final
class LxmertFusion(FusionModel):
    """`LxmertForPreTraining`, or `LxmertForQuestionAnswering` for answers alone.

    Images are `RegionFeatures`; or anything that `regions` turns into them.
    """

    family = "lxmert"

    def __init__(self, module: Any, words: Words, *, regions: RegionSource | None = None, **known: Any) -> None:
        self.regions = regions
        super().__init__(module, words, **known)

    def _primitives(self) -> set[str]:
        has = {"itm", "mlm"} if hasattr(self.module, "cls") else set()
        return has | ({"head"} if self.answers and hasattr(self.module, "answer_head") else set())

    def inputs(self, images: Sequence[Any]) -> Any:
        found = list(check_images(images))
        if not all(isinstance(each, RegionFeatures) for each in found):
            if self.regions is None:
                wrong = next(each for each in found if not isinstance(each, RegionFeatures))
                raise FusionError(
                    f"images: {type(wrong).__name__}; this LXMERT reads RegionFeatures(features, boxes). Pass "
                    "those, or load the model with something that turns images into them."
                )
            found = self.regions(found)
        return stack_regions(found, self.module.config.visual_feat_dim, self.device)

    def _fuse(self, seen: Any, ids: Any, mask: Any) -> Any:
        return self._read(seen, ids, mask)[0]

    def _read(self, seen: Any, ids: Any, mask: Any) -> Any:
        return self.module.lxmert(
            input_ids=ids, attention_mask=mask, visual_feats=seen["features"], visual_pos=seen["boxes"],
            visual_attention_mask=seen["mask"], return_dict=False,
        )  # fmt: skip

    def word_logits(self, states: Any) -> Any:
        if not hasattr(self.module, "cls"):
            raise self._lacks("mlm")
        return self.module.cls.predictions(states)

    def match_logits(self, states: Any) -> Any:
        if not hasattr(self.module, "cls"):
            raise self._lacks("itm")
        return self.module.cls.seq_relationship(self.module.lxmert.pooler(states))

    def answer_logits(self, inputs: Any, ids: Any, mask: Any, *, seen: Any = None) -> Any:
        if "head" not in self._primitives():
            raise self._lacks("head")
        return self.module.answer_head(self._read(inputs if seen is None else seen, ids, mask)[2])

    def _new_head(self, module: Any, answers: int) -> None:
        from transformers.models.lxmert.modeling_lxmert import LxmertVisualAnswerHead

        config = module.config
        module.answer_head = LxmertVisualAnswerHead(config, answers)
        module.answer_head.apply(module._init_weights)
        module.num_qa_labels = config.num_qa_labels = answers
        config.task_qa = module.task_qa = True

    def save(self, folder: Path | str) -> Path:
        describe = getattr(self.regions, "describe", None)
        return write_folder(
            self, folder, settings={"regions": describe() if describe else None},
            architectures=[type(self.module).__name__],
        )  # fmt: skip


def build_lxmert(
    vocabulary: Sequence[str], *, width: int = 64, layers: int = 2, heads: int = 4, hidden: int | None = None,
    regions: RegionSource | None = None, region_width: int = 192, image_size: int = 32, grid: int = 4,
    max_length: int = 16, dropout: float = 0.0, batch_size: int = 64, seed: int = 0,
) -> LxmertFusion:  # fmt: skip
    """A small LXMERT (itm, mlm) with random weights over a list of words.

    `layers` counts each of its three stacks: language, regions, cross-modal. Without `regions`, images become a grid
    of patches (`PatchRegions`).

    Examples
    --------
    >>> model = build_lxmert(["a", "man", "woman"], width=16, heads=2)
    >>> sorted(model.card.capabilities)
    ['answer', 'fill', 'itm', 'mlm', 'score']
    """
    import torch
    from transformers import LxmertConfig, LxmertForPreTraining

    words = build_words(vocabulary, max_length)
    config = LxmertConfig(
        vocab_size=len(words.tokenizer), hidden_size=width, num_attention_heads=heads,
        intermediate_size=hidden or 2 * width, max_position_embeddings=max_length, l_layers=layers, r_layers=layers,
        x_layers=layers, visual_feat_dim=region_width, hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        task_obj_predict=False, task_qa=False, visual_obj_loss=False, visual_attr_loss=False, visual_feat_loss=False,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = LxmertForPreTraining(config)
    return LxmertFusion(
        module, words, regions=regions or PatchRegions(image_size, grid, region_width), name="lxmert:built",
        weights=f"random, seed {seed}", batch_size=batch_size,
    )  # fmt: skip


def load_lxmert(
    target: str, *, revision: str | None = None, device: str = "cpu", batch_size: int = 64, max_length: int = 0,
    pickled: bool = False, answers: Any = "", regions: Any = "",
) -> LxmertFusion:  # fmt: skip
    """An LXMERT from a folder that `save` or ``save_pretrained`` wrote, or from a repository; see `load_fusion`.

    `regions` is what turns images into regions, or a file of them (`read_regions`), whose ids then stand for images.
    """
    import transformers

    source = open_source("lxmert", target, revision=revision, pickled=pickled)
    config = load_config(source, "LxmertConfig")
    named = source.config.get("architectures") or ["LxmertForPreTraining"]
    kind = "LxmertForQuestionAnswering" if "LxmertForQuestionAnswering" in named else "LxmertForPreTraining"
    module, _ = load_module(source, getattr(transformers, kind), config, device=device)
    words = load_words(
        source, positions=config.max_position_embeddings, usual=20, size=config.vocab_size, max_length=max_length
    )
    known = answers or source.ours.get("answers") or _labels(source.config, config.num_qa_labels)
    return LxmertFusion(
        module, words, regions=_region_source(regions or source.ours.get("regions")), batch_size=batch_size,
        answers=read_answers(known, config.num_qa_labels, source.label) if known else (), **source.identity,
    )  # fmt: skip


def _labels(config: Any, expected: int) -> list[str]:
    """Names of the head's outputs, where the configuration has its own."""
    labels = config.get("id2label") or {}
    names = [labels[key] for key in sorted(labels, key=int)]
    return names if len(names) == expected and not all(name.startswith("LABEL_") for name in names) else []


def _region_source(given: Any) -> RegionSource | None:
    if isinstance(given, dict):
        settings = {key: value for key, value in given.items() if key != "kind"}
        if given.get("kind") != "patches" or not all(isinstance(value, int) for value in settings.values()):
            raise FusionError(f"regions {given!r} in the model's folder; expected a grid of patches. Pass regions=.")
        return PatchRegions(**settings)
    if isinstance(given, (str, Path)):
        return read_regions(given)
    if given is not None and not callable(given):
        raise FusionError(f"regions={given!r}; expected a file, or a function from images to a list of RegionFeatures.")
    source: RegionSource | None = given
    return source
