"""ALBEF on transformers parts, and the map from the tensor names of its published checkpoints.

transformers has no ALBEF. Its parts are there: a ViT (`BlipVisionModel`), a BERT whose upper half attends to the image
(`BlipTextModel` with cross-attention, bidirectional), the masked-word head. One thing differs: ALBEF's BERT adds a
token-type embedding, always row 0, which is added to the position embeddings on loading; the sum is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from ...errors import FusionError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class AlbefShape:
    """Sizes of an ALBEF; the defaults are those of the published checkpoints."""

    image_size: int = 256
    patch_size: int = 16
    width: int = 768
    vision_layers: int = 12
    heads: int = 12
    text_layers: int = 6
    fusion_layers: int = 6
    hidden: int = 3072
    vocabulary: int = 30_522
    positions: int = 512
    projection: int = 256
    queue: int = 65_536
    dropout: float = 0.1

    def as_dict(self) -> dict[str, float]:
        """The sizes as plain JSON values."""
        return asdict(self)


def albef_module(shape: AlbefShape | None = None, *, seed: int = 0) -> Any:
    """An ALBEF module with random weights drawn with `seed`; the global random state is left as it was.

    The module has ``image_states(pixels)``, ``text_states(ids, mask)``, ``fuse(text, mask, image)`` (states
    ``[n, l, width]``), ``word_logits(states)``, ``match_logits(states)``, ``project_image`` and ``project_text`` (unit
    rows) and the contrastive temperature ``temp``.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _module()(shape or AlbefShape())


@cache
def _module() -> Any:  # the class needs torch, which is imported only when a model is asked for
    import torch
    from torch import nn
    from transformers import BlipTextConfig, BlipTextModel, BlipVisionConfig, BlipVisionModel
    from transformers.models.blip.modeling_blip_text import BlipTextOnlyMLMHead

    class Albef(nn.Module):  # type: ignore[misc]
        def __init__(self, shape: AlbefShape) -> None:
            super().__init__()
            self.shape = shape
            text = BlipTextConfig(
                vocab_size=shape.vocabulary,
                hidden_size=shape.width,
                encoder_hidden_size=shape.width,
                intermediate_size=shape.hidden,
                num_hidden_layers=shape.text_layers,
                num_attention_heads=shape.heads,
                max_position_embeddings=shape.positions,
                layer_norm_eps=1e-12,
                bos_token_id=None,
                sep_token_id=None,
                hidden_dropout_prob=shape.dropout,
                attention_probs_dropout_prob=shape.dropout,
                is_decoder=False,
            )
            fusion = BlipTextConfig(**{**text.to_dict(), "num_hidden_layers": shape.fusion_layers, "is_decoder": True})
            self.vision = BlipVisionModel(
                BlipVisionConfig(
                    hidden_size=shape.width,
                    intermediate_size=shape.hidden,
                    num_hidden_layers=shape.vision_layers,
                    num_attention_heads=shape.heads,
                    image_size=shape.image_size,
                    patch_size=shape.patch_size,
                    layer_norm_eps=1e-6,
                    hidden_act="gelu",
                    initializer_range=0.02,  # the class's own default, 1e-10, would hide the image
                )
            )
            self.text = BlipTextModel(text, add_pooling_layer=False)
            self.fusion = BlipTextModel(fusion, add_pooling_layer=False)
            self.fusion.embeddings = nn.Identity()  # it starts from the states of `text`
            self.words = BlipTextOnlyMLMHead(text)
            self.words.predictions.decoder.weight = self.text.embeddings.word_embeddings.weight
            self.words.predictions.bias = self.words.predictions.decoder.bias
            self.vision_proj = nn.Linear(shape.width, shape.projection)
            self.text_proj = nn.Linear(shape.width, shape.projection)
            self.itm_head = nn.Linear(shape.width, 2)
            self.temp = nn.Parameter(torch.tensor(0.07))

        def image_states(self, pixels: Any) -> Any:
            return self.vision(pixel_values=pixels).last_hidden_state

        def text_states(self, ids: Any, mask: Any) -> Any:
            return self.text(input_ids=ids, attention_mask=mask).last_hidden_state

        def fuse(self, text: Any, mask: Any, image: Any) -> Any:
            seen = torch.ones(image.shape[:2], dtype=torch.long, device=image.device)
            return self.fusion(
                encoder_embeds=text, attention_mask=mask, encoder_hidden_states=image, encoder_attention_mask=seen
            ).last_hidden_state

        def word_logits(self, states: Any) -> Any:
            return self.words(states)

        def match_logits(self, states: Any) -> Any:
            return self.itm_head(states[:, 0])

        def project_image(self, states: Any) -> Any:
            return nn.functional.normalize(self.vision_proj(states[:, 0]), dim=-1)

        def project_text(self, states: Any) -> Any:
            return nn.functional.normalize(self.text_proj(states[:, 0]), dim=-1)

    return Albef


def published_names(shape: AlbefShape | None = None) -> dict[str, Shape]:
    """Tensor names and shapes of a published pretraining checkpoint, derived from the published model definition.

    The names are those that the definition's modules give (a timm-style ViT, a BERT named as in transformers 4,
    momentum copies ending in ``_m``, two queues). They have not been held against a downloaded file.
    """
    s = shape or AlbefShape()
    names: dict[str, Shape] = {"temp": ()}
    for suffix in ("", "_m"):
        names |= {f"visual_encoder{suffix}.{name}": size for name, size in _vision_names(s).items()}
        names |= {f"text_encoder{suffix}.{name}": size for name, size in _text_names(s).items()}
        for side in ("vision", "text"):
            names[f"{side}_proj{suffix}.weight"] = (s.projection, s.width)
            names[f"{side}_proj{suffix}.bias"] = (s.projection,)
    names |= {"itm_head.weight": (2, s.width), "itm_head.bias": (2,), "queue_ptr": (1,)}
    names |= {"image_queue": (s.projection, s.queue), "text_queue": (s.projection, s.queue)}
    return names


def _vision_names(s: AlbefShape) -> dict[str, Shape]:
    patches = (s.image_size // s.patch_size) ** 2
    names: dict[str, Shape] = {
        "cls_token": (1, 1, s.width),
        "pos_embed": (1, patches + 1, s.width),
        "patch_embed.proj.weight": (s.width, 3, s.patch_size, s.patch_size),
        "patch_embed.proj.bias": (s.width,),
        **_affine("norm", s.width),
    }
    for i in range(s.vision_layers):
        at = f"blocks.{i}"
        names |= {**_affine(f"{at}.norm1", s.width), **_affine(f"{at}.norm2", s.width)}
        names |= _linear(f"{at}.attn.qkv", 3 * s.width, s.width) | _linear(f"{at}.attn.proj", s.width, s.width)
        names |= _linear(f"{at}.mlp.fc1", s.hidden, s.width) | _linear(f"{at}.mlp.fc2", s.width, s.hidden)
    return names


def _text_names(s: AlbefShape) -> dict[str, Shape]:
    names: dict[str, Shape] = {
        "bert.embeddings.position_ids": (1, s.positions),
        "bert.embeddings.word_embeddings.weight": (s.vocabulary, s.width),
        "bert.embeddings.position_embeddings.weight": (s.positions, s.width),
        "bert.embeddings.token_type_embeddings.weight": (2, s.width),
        **_affine("bert.embeddings.LayerNorm", s.width),
        "cls.predictions.bias": (s.vocabulary,),
        **_linear("cls.predictions.transform.dense", s.width, s.width),
        **_affine("cls.predictions.transform.LayerNorm", s.width),
        **_linear("cls.predictions.decoder", s.vocabulary, s.width),
    }
    for i in range(s.text_layers + s.fusion_layers):
        at = f"bert.encoder.layer.{i}"
        blocks = ["attention"] + ["crossattention"] * (i >= s.text_layers)
        for block in blocks:
            for part in ("query", "key", "value"):
                names |= _linear(f"{at}.{block}.self.{part}", s.width, s.width)
            names |= _linear(f"{at}.{block}.output.dense", s.width, s.width)
            names |= _affine(f"{at}.{block}.output.LayerNorm", s.width)
        names |= _linear(f"{at}.intermediate.dense", s.hidden, s.width)
        names |= _linear(f"{at}.output.dense", s.width, s.hidden) | _affine(f"{at}.output.LayerNorm", s.width)
    return names


def _linear(name: str, out: int, into: int) -> dict[str, Shape]:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _affine(name: str, width: int) -> dict[str, Shape]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


_VISION_MAP = (
    ("cls_token", "embeddings.class_embedding"),
    ("pos_embed", "embeddings.position_embedding"),
    ("patch_embed.proj", "embeddings.patch_embedding"),
    (".attn.qkv", ".self_attn.qkv"),
    (".attn.proj", ".self_attn.projection"),
    (".norm1", ".layer_norm1"),
    (".norm2", ".layer_norm2"),
)


def shape_of(state: Mapping[str, Any]) -> AlbefShape:
    """The sizes of a published state; heads are 64 wide, as in every published checkpoint."""
    try:
        sizes = {name: tuple(value.shape) for name, value in state.items()}
        width, _, patch, _ = sizes["visual_encoder.patch_embed.proj.weight"]
        layers = sum(name.endswith(".intermediate.dense.weight") and "_m." not in name for name in sizes)
        fusion = sum(name.endswith(".crossattention.self.key.weight") and "_m." not in name for name in sizes)
        return AlbefShape(
            image_size=round((sizes["visual_encoder.pos_embed"][1] - 1) ** 0.5) * patch,
            patch_size=patch,
            width=width,
            vision_layers=sum(name.startswith("visual_encoder.") and name.endswith(".norm1.weight") for name in sizes),
            heads=max(1, width // 64),
            text_layers=layers - fusion,
            fusion_layers=fusion,
            hidden=sizes["visual_encoder.blocks.0.mlp.fc1.weight"][0],
            vocabulary=sizes["text_encoder.bert.embeddings.word_embeddings.weight"][0],
            positions=sizes["text_encoder.bert.embeddings.position_embeddings.weight"][0],
            projection=sizes["vision_proj.weight"][0],
            queue=sizes.get("image_queue", (0, 0))[1],
        )
    except (KeyError, ValueError, IndexError) as error:
        raise FusionError(
            f"ALBEF state without {error}: it has {len(state)} tensors, first {sorted(state)[:3]}; expected the names "
            "of fairvl.sources.fusion.published_names. For another family use its own name, for example blip:PATH."
        ) from None


def from_published(state: Mapping[str, Any], shape: AlbefShape | None = None) -> dict[str, Any]:
    """The state of `albef_module`'s module from a published pretraining state.

    Momentum copies, queues and position ids are not needed and dropped. A fine-tuned checkpoint that lacks them loads
    too, as long as every weight of the model itself is there.

    Raises
    ------
    FusionError
        A tensor that the model needs is missing, one that the published definition does not have is there, or a shape
        differs (another image size or vocabulary).
    """
    s = shape or AlbefShape()
    known = published_names(s)
    spare = {name for name in known if "_m." in name or "queue" in name or name.endswith("position_ids")}
    missing = sorted(known.keys() - spare - state.keys())
    unknown = sorted(state.keys() - known.keys())
    if missing or unknown:
        raise FusionError(
            f"ALBEF state: {len(missing)} tensors are missing (first: {missing[:3]}) and {len(unknown)} are not of its "
            f"published definition (first: {unknown[:3]}). Expected the names of fairvl.sources.fusion.albef."
            "published_names; for another family use its own name, for example blip:PATH."
        )
    wrong = [name for name in known.keys() - spare if tuple(state[name].shape) != known[name]]
    if wrong:
        name = min(wrong)
        raise FusionError(
            f"ALBEF state: {name} has shape {tuple(state[name].shape)}, expected {known[name]} for {s}. Pass the "
            "AlbefShape of this checkpoint (image size, vocabulary, layers)."
        )
    if not bool((state[_WORDS] == state[_DECODER]).all()):
        raise FusionError(
            f"ALBEF state: {_DECODER} differs from {_WORDS}; in the published definition they are one parameter."
        )
    return {
        ours: state[name] if name != _POSITIONS else state[name] + state[_TOKEN_TYPES][:1]
        for name in known.keys() - spare - {_TOKEN_TYPES, _DECODER_BIAS}
        for ours in _ours(name, s)
    }


_POSITIONS = "text_encoder.bert.embeddings.position_embeddings.weight"
_TOKEN_TYPES = "text_encoder.bert.embeddings.token_type_embeddings.weight"  # noqa: S105
_WORDS = "text_encoder.bert.embeddings.word_embeddings.weight"
_DECODER = "text_encoder.cls.predictions.decoder.weight"
_DECODER_BIAS = "text_encoder.cls.predictions.decoder.bias"  # the same parameter as cls.predictions.bias


def _ours(name: str, s: AlbefShape) -> tuple[str, ...]:
    """Where a published tensor goes in our module."""
    tower, _, rest = name.partition(".")
    if tower == "visual_encoder":
        if rest.startswith("norm."):
            return (f"vision.post_layernorm.{rest.removeprefix('norm.')}",)
        for theirs, mine in _VISION_MAP:
            rest = rest.replace(theirs, mine)
        return (f"vision.{rest.replace('blocks.', 'encoder.layers.')}",)
    if tower == "text_encoder":
        if rest == "cls.predictions.bias":
            return ("words.predictions.bias", "words.predictions.decoder.bias")
        if rest.startswith("cls."):
            return (f"words.{rest.removeprefix('cls.')}",)
        rest = rest.removeprefix("bert.")
        if rest.startswith("encoder.layer."):
            number, _, tail = rest.removeprefix("encoder.layer.").partition(".")
            if int(number) >= s.text_layers:
                return (f"fusion.encoder.layer.{int(number) - s.text_layers}.{tail}",)
        return (f"text.{rest}",)
    return (name,)
