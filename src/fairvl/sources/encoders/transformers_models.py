"""CLIP, SigLIP and SigLIP 2 of the transformers library, from a hub name or a local folder."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...errors import EncoderError, FairVLError, missing_extra
from ...fingerprints import file_hash, fingerprint
from .images import LibraryTransform, PixelTransform, Transform, agrees, to_rgb
from .seam import need
from .tokens import unknown_words
from .towers import DEFAULT_BATCH, TorchEncoder, Towers, build_encoder, offline, pick_device

MODEL_TYPES = ("clip", "siglip", "siglip2")
SIGLIP_CONTEXT = 64
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
RESAMPLE = {int(value): value.name.lower() for value in Image.Resampling}


def load_transformers(
    target: str,
    *,
    revision: str | None = None,
    device: str = "cpu",
    batch_size: int = DEFAULT_BATCH,
    name: str | None = None,
    training_data: str | None = None,
    licence: str | None = None,
) -> TorchEncoder:
    """A transformers model as an encoder, in float32 and evaluation mode.

    Weights are read from safetensors only and no code of the repository is run. Images are resized by Pillow, as in
    training and in transformers 4, also where transformers 5 would resize with torchvision.

    Parameters
    ----------
    target : str
        Repository ``org/name``, or a local folder (then nothing is downloaded).
    revision : str, optional
        Commit, tag or branch of the repository; the card holds the resolved commit.
    name : str, optional
        Name on the card.

    Raises
    ------
    EncoderError
        A folder that lacks files, a model type that is not supported, weights that do not fill the model.
    """
    transformers = need("transformers")
    torch_device = pick_device(device)
    folder = Path(target).expanduser()
    local = folder.is_dir()
    if local:
        _check_folder(folder, revision)
    elif not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", target) or target.startswith("."):
        raise EncoderError(f"transformers: {target!r} is neither a folder that exists nor a repository name org/name.")
    source = str(folder) if local else target
    label = name or f"transformers:{folder.name if local else target}"
    common: dict[str, Any] = {"local_files_only": local, "trust_remote_code": False}
    if not local:
        common["revision"] = revision
    with offline() if local else nullcontext(), _quiet(transformers):
        kind, commit = _model_type(transformers, source, common)
        if commit is not None:
            common["revision"] = commit  # every later file from the commit that the card names
        model = _model(transformers, source, common)
        tokenizer = _tokenizer(transformers, source, common, folder if local else None)
        transform = _transform(transformers, source, common, kind)
    model = model.float().to(torch_device).eval()
    _check_end_token(model.config, tokenizer, label)
    tokenizer.padding_side = "right"
    text = _TextSide(tokenizer, kind, int(model.config.text_config.max_position_embeddings))
    unknown = unknown_words(tokenizer)
    towers = Towers(
        module=model,
        image=partial(_image_features, model),
        text=partial(_text_features, model),
        tokenize=text.tokenize,
        count_tokens=text.count,
        unknown=None if unknown is None else lambda words: unknown(text.prepare(words)),
    )
    return build_encoder(
        towers,
        transform,
        library="transformers",
        name=label,
        weights=_weights_id(folder) if local else "model.safetensors",
        revision=None if local else commit or revision,
        training_data=training_data,
        licence=licence,
        context_length=text.context,
        text_settings=f"padding {text.padding}",  # the rest shows in the probe; class names differ between majors
        device=torch_device,
        batch_size=batch_size,
    )


def features(output: Any) -> Any:
    """The feature tensor of ``get_image_features`` / ``get_text_features``.

    transformers 5 returns an object with ``pooler_output`` (or a tuple with it in second place), 4 the tensor itself.
    """
    if hasattr(output, "pooler_output"):
        return output.pooler_output
    if isinstance(output, tuple):
        return output[1]
    return output


@dataclass(frozen=True)
class _TextSide:
    """How texts become token ids: SigLIP was trained on lower case, padded to 64, without an attention mask."""

    tokenizer: Any
    kind: str
    positions: int

    @property
    def context(self) -> int:
        return min(self.positions, SIGLIP_CONTEXT) if self.siglip else self.positions

    @property
    def siglip(self) -> bool:
        return self.kind.startswith("siglip")

    @property
    def padding(self) -> str:
        return "max_length" if self.siglip else "longest"

    @property
    def lower(self) -> bool:
        # SigLIP 2 ships Gemma's tokenizer, which keeps case in transformers 4; SigLIP's own lowers by itself
        return self.siglip and ("Gemma" in type(self.tokenizer).__name__ or "Siglip2" in type(self.tokenizer).__name__)

    def prepare(self, text: str) -> str:
        return text.lower() if self.lower else text

    def tokenize(self, texts: list[str]) -> Any:
        encoded = self.tokenizer(
            [self.prepare(text) for text in texts],
            padding=self.padding,
            truncation=True,
            max_length=self.context,
            return_tensors="pt",
        )
        return encoded["input_ids"]

    def count(self, texts: list[str]) -> list[int]:
        encoded = self.tokenizer([self.prepare(text) for text in texts], truncation=False, verbose=False)
        return [len(row) for row in encoded["input_ids"]]


@dataclass(frozen=True)
class NaflexTransform:
    """SigLIP 2's variable resolution: one picture as a fixed number of patches, then a row with rows and columns."""

    processor: Any

    def __call__(self, image: Any) -> NDArray[np.float32]:
        """float32 ``[patches + 1, patch width]``; the last row begins with the grid's height and width."""
        out = self.processor(images=[to_rgb(image)], return_tensors="np")
        patches = np.asarray(out["pixel_values"][0], dtype=np.float32)
        shape = np.zeros((1, patches.shape[1]), dtype=np.float32)
        shape[0, :2] = out["spatial_shapes"][0]
        return np.concatenate([patches, shape])

    def to_input(self, batch: NDArray[Any], device: Any) -> Any:
        """Keyword arguments of ``get_image_features``."""
        import torch

        shapes = torch.from_numpy(batch[:, -1, :2].astype(np.int64))
        used = torch.arange(batch.shape[1] - 1)[None, :] < shapes.prod(dim=1, keepdim=True)
        pixels = torch.from_numpy(np.ascontiguousarray(batch[:, :-1], dtype=np.float32))
        return {
            "pixel_values": pixels.to(device),
            "pixel_attention_mask": used.to(torch.int64).to(device),
            "spatial_shapes": shapes.to(device),
        }

    def describe(self) -> dict[str, Any]:
        """Patch size and number, and the normalisation."""
        keys = ("patch_size", "max_num_patches", "image_mean", "image_std", "resample", "rescale_factor")
        settings = self.processor.to_dict()
        return {"naflex": {key: settings.get(key) for key in keys}}


def _image_features(model: Any, inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return features(model.get_image_features(**inputs))
    return features(model.get_image_features(pixel_values=inputs))


def _text_features(model: Any, ids: Any) -> Any:
    # No mask: CLIP is causal and reads the end token, SigLIP was trained to attend to its padding.
    return features(model.get_text_features(input_ids=ids))


def _check_folder(folder: Path, revision: str | None) -> None:
    if revision is not None:
        raise EncoderError(f"revision={revision!r} belongs to hub repositories; {folder.name} is a local folder.")
    names = {path.name for path in folder.iterdir()}
    missing = []
    if "config.json" not in names:
        missing.append("config.json")
    if not any(name.endswith(".safetensors") for name in names):
        pickled = sorted(name for name in names if name.endswith((".bin", ".pt", ".pth")))
        hint = f" ({pickled[0]} is pickled: convert it with save_pretrained)" if pickled else ""
        missing.append(f"model.safetensors{hint}")
    if not names.intersection(TOKENIZER_FILES):
        missing.append("a tokenizer (tokenizer.json)")
    if not names.intersection(PROCESSOR_FILES):
        missing.append("preprocessor_config.json")
    if missing:
        also = (
            " It looks like an open_clip folder: open_clip:local-dir:PATH." if "open_clip_config.json" in names else ""
        )
        raise EncoderError(
            f"transformers: the folder {folder.name} lacks {', '.join(missing)}; nothing is downloaded.{also}"
        )


def _model_type(transformers: Any, source: str, common: dict[str, Any]) -> tuple[str, str | None]:
    options = {key: value for key, value in common.items() if key != "trust_remote_code"}
    config, _ = _explained(
        source, "configuration", lambda: transformers.PretrainedConfig.get_config_dict(source, **options)
    )
    kind = config.get("model_type")
    if kind not in MODEL_TYPES:
        raise EncoderError(
            f"transformers: {Path(source).name} is a model of type {kind!r}; supported: {', '.join(MODEL_TYPES)}. "
            "Other models: fairvl.encoder(image_fn=..., text_fn=...)."
        )
    return kind, None if common["local_files_only"] else _commit(source, common["revision"])


def _commit(source: str, revision: str | None) -> str | None:
    """The commit that a repository's files were read at; the configuration itself no longer says so."""
    hub: Any = need("transformers.utils.hub")
    try:
        parts = Path(hub.cached_file(source, "config.json", revision=revision, local_files_only=True)).parts
    except OSError:
        return None
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else None


def _model(transformers: Any, source: str, common: dict[str, Any]) -> Any:
    torch = need("torch")
    model, report = _explained(
        source,
        "weights",
        lambda: transformers.AutoModel.from_pretrained(
            source, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **common
        ),
    )
    lacking = sorted(str(key) for key in report["missing_keys"] if "position_ids" not in str(key))
    lacking += sorted(str(key) for key in report.get("mismatched_keys", ()))
    if lacking:
        raise EncoderError(
            f"transformers: the weights of {Path(source).name} do not fill the model: {len(lacking)} tensors are "
            f"missing or of another shape, first {lacking[0]}. They would be random."
        )
    return model


def _check_end_token(config: Any, tokenizer: Any, name: str) -> None:
    # CLIPModel reads the first end token, except that with eos_token_id == 2 (OpenAI's configurations) it reads the
    # largest id of the text, whatever that is.
    if config.model_type != "clip":
        return
    end = config.text_config.eos_token_id
    expected = config.text_config.vocab_size - 1 if end == 2 else end
    if tokenizer.eos_token_id != expected:
        raise EncoderError(
            f"{name}: the tokenizer ends texts with id {tokenizer.eos_token_id}, the model reads id {expected} "
            f"(eos_token_id={end} in config.json); it would read the wrong place. Make the two agree; keep 2 free."
        )


def _tokenizer(transformers: Any, source: str, common: dict[str, Any], folder: Path | None) -> Any:
    def load() -> Any:
        try:
            return transformers.AutoTokenizer.from_pretrained(source, **common)
        except (ValueError, OSError):
            if folder is None or not (folder / "tokenizer.json").is_file():
                raise
            # transformers 4 does not know the class names that transformers 5 writes; the file itself says all
            return transformers.PreTrainedTokenizerFast.from_pretrained(source)

    return _explained(source, "tokenizer", load)


def _transform(transformers: Any, source: str, common: dict[str, Any], kind: str) -> Transform:
    major = int(transformers.__version__.split(".")[0])
    backend = {"backend": "pil"} if major >= 5 else {"use_fast": False}
    processor = _explained(
        source, "image processor", lambda: transformers.AutoImageProcessor.from_pretrained(source, **backend, **common)
    )
    settings = processor.to_dict()
    if kind == "siglip2" and "max_num_patches" in settings:
        return NaflexTransform(processor)
    library = partial(_processed, processor)
    own = _own_transform(settings)
    if own is not None and agrees(own, library):
        return own
    return LibraryTransform(library)


def _processed(processor: Any, image: Image.Image) -> NDArray[np.float32]:
    return np.asarray(processor(images=[image], return_tensors="np")["pixel_values"][0], dtype=np.float32)


def _own_transform(settings: dict[str, Any]) -> PixelTransform | None:
    """The processor's settings as a `PixelTransform`; None where it does something else."""
    size, crop = _size(settings.get("size")), _size(settings.get("crop_size"))
    resize, cut = bool(settings.get("do_resize")), bool(settings.get("do_center_crop"))
    if not settings.get("do_normalize") or not settings.get("do_rescale") or (resize and size is None):
        return None
    short = "shortest_edge" in (settings.get("size") or {})
    if (short and not cut) or not (resize or cut):
        return None
    target = crop if cut else size
    if target is None:
        return None
    mean, std = (tuple(float(value) for value in settings[key]) for key in ("image_mean", "image_std"))
    if len(mean) != 3 or len(std) != 3:
        return None
    return PixelTransform(
        resize=("shortest" if short else "squash") if resize else "none",
        size=size or target,
        crop=target,
        resample=RESAMPLE.get(int(settings.get("resample", 3)), "bicubic"),
        mean=mean,
        std=std,
        scale=float(settings.get("rescale_factor", 1 / 255)),
        rounding="floor",
    )


def _size(value: Any) -> tuple[int, int] | None:
    if isinstance(value, int):
        return value, value
    if isinstance(value, dict):
        if value.get("shortest_edge") and not value.get("longest_edge"):
            return int(value["shortest_edge"]), int(value["shortest_edge"])
        if value.get("height") and value.get("width"):
            return int(value["height"]), int(value["width"])
    return None


def _weights_id(folder: Path) -> str:
    hashes = {path.name: file_hash(path) for path in sorted(folder.glob("*.safetensors"))}
    only = next(iter(hashes)) if len(hashes) == 1 else f"{len(hashes)} files"
    return f"{only} sha256:{next(iter(hashes.values()))[:16] if len(hashes) == 1 else fingerprint(hashes)}"


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No progress bars where nobody looks."""
    settings = transformers.utils.logging
    if sys.stderr.isatty() or not settings.is_progress_bar_enabled():
        yield
        return
    settings.disable_progress_bar()
    try:
        yield
    finally:
        settings.enable_progress_bar()


def _explained(source: str, part: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except FairVLError:
        raise
    except ImportError as error:
        for package in ("sentencepiece", "protobuf"):
            if package in str(error).lower():
                raise missing_extra(package, "models") from error
        raise
    except Exception as error:
        reason = re.sub(r"\s+", " ", str(error))[:300]
        raise EncoderError(
            f"transformers: the {part} of {Path(source).name if Path(source).is_dir() else source} cannot be loaded "
            f"({type(error).__name__}: {reason}). Expected {', '.join(MODEL_TYPES)} with safetensors weights."
        ) from error
