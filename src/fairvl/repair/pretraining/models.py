"""What can be trained: fusion models as they are, and CLIP-like encoders through an adapter with `project` alone."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ...atomic import write_atomic
from ...errors import InputError
from ...sources.encoders import load_encoder
from ...sources.encoders.images import PixelTransform, check_images, stack
from ...sources.encoders.towers import TorchEncoder
from ...sources.fusion import FusionCard, FusionModel
from ...sources.fusion.pixels import RESAMPLE
from .reasoning import HEAD, ReasoningModel, load_head

SCALES = (2.0, 100.0)
CLIP = ("transformers", "open_clip")


def trainable(model: Any) -> Any:
    """`model` itself when it is a fusion model, an encoder behind the seam's `project`.

    Raises
    ------
    InputError
        Neither of them, or an encoder that cannot be trained or saved.
    """
    if isinstance(model, FusionModel):
        return model
    if isinstance(model, TorchEncoder):
        return ContrastiveEncoder.of(model)
    raise InputError(
        f"{type(model).__name__} cannot be trained; expected a fusion model (load_fusion) or an encoder (load_encoder) "
        "of open_clip or transformers."
    )


def load_student(name: str, device: str = "auto") -> Any:
    """A model to train by its name: a fusion model, or an encoder.

    Raises
    ------
    FusionError, EncoderError
        The name is not understood, or what it names is of another family.
    """
    from ...sources.fusion.names import FORMS as FUSION
    from ...sources.fusion.names import load_fusion

    where = _device(device)
    if name.partition(":")[0] in {form.partition(":")[0] for form in FUSION}:
        return load_fusion(name, device=where)
    return load_encoder(name, device=where)


def _device(device: str) -> str:
    """With "auto" the device that a launcher gave this process, or the first one."""
    if device != "auto":
        return device
    from accelerate import PartialState

    return str(PartialState().device)


def load_trained(family: str, folder: Path | str) -> Any:
    """The model in a run's folder."""
    if family == "transformers":
        return load_encoder(f"transformers:{folder}")
    if family == "open_clip":
        return load_encoder(f"open_clip:local-dir:{folder}")
    from ...sources.fusion.names import load_fusion

    model = load_fusion(f"{family}:{folder}")
    head = Path(folder) / HEAD
    return ReasoningModel(model, load_head(head)) if head.is_file() else model


def bound_scale(module: Any) -> None:
    """Keep the scale of contrast between 2 and 100, as CLIP, ALBEF and BLIP bound theirs: it cannot run away.

    Its parameter is a temperature (``temp``) or the logarithm of the scale (``logit_scale``).
    """
    import torch

    with torch.no_grad():
        for name, value in module.named_parameters():
            if value.ndim == 0 and name.endswith("temp"):
                value.clamp_(1 / SCALES[1], 1 / SCALES[0])
            elif name.endswith("logit_scale"):
                value.clamp_(math.log(SCALES[0]), math.log(SCALES[1]))


@dataclass(frozen=True, eq=False)
class ContrastiveEncoder:
    """A CLIP-like encoder as a model to train: images and texts are projected, nothing else.

    Attributes
    ----------
    encoder : TorchEncoder
    card : FusionCard
        Of the encoder; its capability is ``itc``.
    words : None
        There is no masked word to guess.
    """

    encoder: TorchEncoder
    card: FusionCard
    words: ClassVar[None] = None

    @classmethod
    def of(cls, encoder: TorchEncoder) -> ContrastiveEncoder:
        """Check, before any work, that `encoder` can be trained by contrast and written to a folder."""
        card, module = encoder.card, encoder.module
        library = "transformers" if hasattr(module, "save_pretrained") else card.library
        if library not in CLIP or not hasattr(module, "logit_scale"):
            raise InputError(
                f"{card.name} ({card.library}) cannot be trained by contrast; expected a CLIP of transformers or "
                "open_clip."
            )
        if getattr(module, "logit_bias", None) is not None:
            raise InputError(f"{card.name} has a sigmoid loss (SigLIP); expected CLIP's contrast over a batch.")
        if library == "open_clip":
            _open_clip_config(encoder)
        held = FusionCard(
            family=library, name=card.name, weights=card.weights, revision=card.revision,
            parameters=card.parameters or 0, max_length=card.context_length or 0, licence=card.licence,
            capabilities=frozenset({"itc"}),
        )  # fmt: skip
        return cls(encoder, held)

    @property
    def family(self) -> str:
        """Library of the encoder."""
        return self.card.family

    @property
    def module(self) -> Any:
        """The torch model."""
        return self.encoder.module

    @property
    def device(self) -> Any:
        """Where the module is."""
        return next(iter(self.module.parameters())).device

    def tokenize(self, texts: Sequence[str]) -> tuple[Any, Any]:
        """Token ids padded to the context, and which of them lie before the padding."""
        import torch
        from torch.nn import functional

        ids = self.encoder._towers.tokenize(list(texts))
        if self.family == "open_clip":  # pads with 0, which is no word, and needs the whole context
            return ids.to(self.device), torch.ones_like(ids, device=self.device)
        padding = _tokenizer(self.encoder).pad_token_id
        ids = functional.pad(ids, (0, self.card.max_length - ids.shape[1]), value=padding)
        used = (ids != padding).cumsum(1).argmax(1) + 2  # the end mark may be the padding too
        mask = torch.arange(ids.shape[1])[None, :] < used[:, None]
        return ids.to(self.device), mask.long().to(self.device)

    def inputs(self, images: Sequence[Any]) -> Any:
        """Images resized and normalised."""
        transform = self.encoder.preprocess
        return transform.to_input(stack(transform, check_images(images)), self.device)

    def see(self, inputs: Any) -> Any:
        """The image features before they are unit rows."""
        return self.encoder._towers.image(inputs)

    def project(self, inputs: Any, ids: Any, mask: Any, *, seen: Any = None) -> tuple[Any, Any, Any]:
        """Unit rows of images, unit rows of texts, and the scale of their cosine."""
        from torch.nn.functional import normalize

        image = self.see(inputs) if seen is None else seen
        text = self.encoder._towers.text(ids)
        return normalize(image, dim=-1), normalize(text, dim=-1), self.module.logit_scale.exp()

    def save(self, folder: Path | str) -> Path:
        """Write a folder that `load_encoder` reads."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        if self.family == "open_clip":
            from safetensors.torch import save

            state = {name: value.detach().cpu().clone() for name, value in self.module.state_dict().items()}
            write_atomic(target / "open_clip_model.safetensors", save(state))
            write_atomic(target / "open_clip_config.json", json.dumps(_open_clip_config(self.encoder), indent=2) + "\n")
            return target
        self.module.save_pretrained(target, safe_serialization=True)
        _tokenizer(self.encoder).save_pretrained(target)
        transform = self.encoder.preprocess
        if isinstance(transform, PixelTransform):
            settings = _clip_processor(transform)
            write_atomic(target / "preprocessor_config.json", json.dumps(settings, indent=2) + "\n")
        else:
            transform.function.args[0].save_pretrained(target)  # type: ignore[attr-defined]
        return target


def _clip_processor(transform: PixelTransform) -> dict[str, Any]:
    """What transformers reads to prepare images as `transform` does."""
    short = transform.resize == "shortest"
    height, width = transform.size
    return {
        "image_processor_type": "CLIPImageProcessor", "do_convert_rgb": True,
        "do_resize": transform.resize != "none",
        "size": {"shortest_edge": height} if short else {"height": height, "width": width},
        "resample": {name: value for value, name in RESAMPLE.items()}[transform.resample],
        "do_center_crop": transform.resize != "squash",
        "crop_size": {"height": transform.crop[0], "width": transform.crop[1]},
        "do_rescale": True, "rescale_factor": transform.scale,
        "do_normalize": True, "image_mean": list(transform.mean), "image_std": list(transform.std),
    }  # fmt: skip


def _tokenizer(encoder: TorchEncoder) -> Any:
    return encoder._towers.tokenize.__self__.tokenizer  # type: ignore[attr-defined]


def _open_clip_config(encoder: TorchEncoder) -> dict[str, Any]:
    """What open_clip reads beside the weights in a local folder."""
    import open_clip

    name = encoder.card.name.removeprefix("open_clip:")
    if name not in open_clip.list_models():
        raise InputError(
            f"{encoder.card.name}: its architecture has no name in open_clip, so a trained copy could not be written. "
            "Load it by architecture: open_clip:ARCHITECTURE?checkpoint=FILE.safetensors."
        )
    config = open_clip.get_model_config(name)
    if any(type(part).__name__ == "QuickGELU" for part in encoder.module.modules()):
        config["quick_gelu"] = True
    return {"model_cfg": config, "preprocess_cfg": dict(encoder.module.visual.preprocess_cfg)}
