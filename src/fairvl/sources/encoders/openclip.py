"""open_clip models: built-in names with a pretrained tag, hub repositories, local folders and checkpoint files."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ...errors import EncoderError, FairVLError
from ...fingerprints import file_hash
from .images import LibraryTransform, PixelTransform, Transform, agrees
from .seam import need
from .tokens import count_tokens
from .towers import DEFAULT_BATCH, TorchEncoder, Towers, build_encoder, offline, pick_device

FORMS = (
    "open_clip:ViT-B-32/laion2b_s34b_b79k",
    "open_clip:hf-hub:org/name",
    "open_clip:local-dir:PATH",
    "open_clip:ViT-B-32?checkpoint=FILE.safetensors",
    "open_clip:ViT-B-32?random=SEED",
)
logger = logging.getLogger("fairvl")


def load_open_clip(
    target: str,
    *,
    checkpoint: str | None = None,
    random: int | None = None,
    unsafe_pt: bool = False,
    cache_dir: str | None = None,
    device: str = "cpu",
    batch_size: int = DEFAULT_BATCH,
    training_data: str | None = None,
    licence: str | None = None,
) -> TorchEncoder:
    """An open_clip model as an encoder, in float32 and evaluation mode, with its validation transform.

    Parameters
    ----------
    target : str
        What follows ``open_clip:`` in the name.
    checkpoint : path, optional
        Local safetensors file with the weights of a built-in architecture.
    random : int, optional
        Seed of random weights for a built-in architecture, for tests and benchmarks; the card says so.
    unsafe_pt : bool
        Allow a pickled checkpoint (.pt, .pth, .bin), read with ``weights_only=True``.
    cache_dir : path, optional
        Where open_clip keeps downloads.

    Raises
    ------
    EncoderError
        Unknown name or tag (the nearest are named), incomplete folder, weights that do not fit.
    """
    open_clip = need("open_clip")
    torch_device = pick_device(device)
    hub, local = target.startswith("hf-hub:"), target.startswith("local-dir:")
    if (hub or local) and (checkpoint is not None or random is not None):
        raise EncoderError(f"{target!r} brings its own weights; leave out checkpoint= and random=.")
    name, _, tag = (target, "", "") if hub or local else target.partition("/")
    arguments: dict[str, Any] = {"precision": "fp32", "device": "cpu", "cache_dir": cache_dir, "pretrained_text": False}
    revision: str | None = None
    if hub:
        path = _hub_weights(open_clip, name.removeprefix("hf-hub:"), unsafe_pt, cache_dir)
        weights, revision = path.name, _commit(path)
    elif local:
        path = _local_weights(Path(name.removeprefix("local-dir:")), unsafe_pt)
        weights = f"{path.name} sha256:{file_hash(path)[:16]}"
    else:
        _check_architecture(open_clip, name)
        if sum(source is not None for source in (tag or None, checkpoint, random)) != 1:
            raise EncoderError(_which_weights(open_clip, name))
        if tag:
            arguments |= _tag_arguments(open_clip, name, tag, unsafe_pt)
            path = Path(_download(open_clip, name, tag, cache_dir))
            require_safetensors(path, unsafe_pt)
            weights, revision, training_data = tag, _commit(path), training_data or tag.split("_")[0]
        elif checkpoint is not None:
            path = Path(checkpoint)
            require_safetensors(path, unsafe_pt)
            if not path.is_file():
                raise EncoderError(f"checkpoint {checkpoint!r} is not a file.")
            arguments |= {"pretrained": str(path), "force_preprocess_cfg": _usual_preprocessing(open_clip, name)}
            weights = f"{path.name} sha256:{file_hash(path)[:16]}"
        else:
            arguments["force_preprocess_cfg"] = _usual_preprocessing(open_clip, name)
            weights, revision, training_data = "random", f"seed {random}", "none (random weights)"
    with nullcontext() if hub or tag else offline(), _seeded(random), _explained(target):
        model = open_clip.create_model(name, require_pretrained=random is None, **arguments)
        tokenizer = open_clip.get_tokenizer(name, cache_dir=cache_dir)
    model = model.float().to(torch_device).eval()
    context = int(getattr(tokenizer, "context_length", 0) or model.context_length)
    towers = Towers(
        module=model,
        image=lambda pixels: model.encode_image(pixels, normalize=False),
        text=lambda tokens: model.encode_text(tokens, normalize=False),
        tokenize=tokenizer,
        count_tokens=count_tokens(tokenizer),
    )
    return build_encoder(
        towers,
        _transform(open_clip, model),
        library="open_clip",
        name=f"open_clip:local-dir:{Path(name).name}" if local else f"open_clip:{name}",
        weights=weights,
        revision=revision,
        training_data=training_data,
        licence=licence,
        context_length=context,
        text_settings=type(tokenizer).__name__,
        device=torch_device,
        batch_size=batch_size,
    )


def require_safetensors(path: Path, unsafe_pt: bool) -> None:
    """Refuse pickled weights unless the user asked for them by name."""
    if path.suffix == ".safetensors" or (unsafe_pt and path.suffix in (".pt", ".pth", ".bin")):
        return
    if path.suffix in (".pt", ".pth", ".bin"):
        raise EncoderError(
            f"{path.name} is a pickled checkpoint, which can hold code. Convert it to safetensors, or, if you trust "
            "its source, add the option unsafe_pt=1 (it is then read with weights_only=True)."
        )
    raise EncoderError(f"{path.name}: unknown kind of checkpoint; expected a .safetensors file.")


def _transform(open_clip: Any, model: Any) -> Transform:
    """Our own transform where it gives the library's numbers, else the library's validation transform."""
    settings = model.visual.preprocess_cfg
    library = open_clip.transform.image_transform_v2(open_clip.transform.PreprocessCfg(**settings), is_train=False)
    size = settings["size"]
    height, width = (size, size) if isinstance(size, int) else tuple(size)[-2:]
    mode = settings["resize_mode"]
    if mode in ("shortest", "squash") and (mode == "squash" or height == width):
        own = PixelTransform(
            resize=mode,
            size=(height, width),
            crop=(height, width),
            resample="bilinear" if settings["interpolation"] == "bilinear" else "bicubic",
            mean=_triple(settings["mean"]),
            std=_triple(settings["std"]),
            rounding="even",
        )
        if agrees(own, library):
            return own
    return LibraryTransform(library)


def _triple(values: Any) -> tuple[float, float, float]:
    a, b, c = (values,) * 3 if isinstance(values, (int, float)) else values
    return float(a), float(b), float(c)


def _check_architecture(open_clip: Any, name: str) -> None:
    names = open_clip.list_models()
    if name not in names:
        near = get_close_matches(name, names, n=4, cutoff=0.5)
        raise EncoderError(
            f"open_clip has no architecture {name!r}; nearest: {', '.join(near) or 'none'}. "
            f"Accepted forms: {'; '.join(FORMS)}."
        )


def _which_weights(open_clip: Any, name: str) -> str:
    tags = open_clip.list_pretrained_tags_by_model(name)
    return (
        f"open_clip:{name} needs exactly one source of weights: a tag ({', '.join(tags) or 'it has none'}), "
        "checkpoint=FILE.safetensors, or random=SEED."
    )


def _tag_arguments(open_clip: Any, name: str, tag: str, unsafe_pt: bool) -> dict[str, Any]:
    """Arguments for a pretrained tag, after every check that needs no download."""
    settings = open_clip.get_pretrained_cfg(name, tag)
    tags = open_clip.list_pretrained_tags_by_model(name)
    if not settings:
        near = get_close_matches(tag, tags, n=4, cutoff=0.4) or tags[:8]
        elsewhere = open_clip.list_pretrained_models_by_tag(tag)[:4]
        hint = f" The tag exists for {', '.join(elsewhere)}." if elsewhere else ""
        raise EncoderError(f"{name} has no pretrained tag {tag!r}; nearest: {', '.join(near) or 'none'}.{hint}")
    if not settings.get("hf_hub"):
        require_safetensors(Path(settings.get("url", "") or settings.get("file", "")), unsafe_pt)
    quick = bool(settings.get("quick_gelu", False))
    if not quick and open_clip.get_model_config(name).get("quick_gelu", False):
        raise EncoderError(
            f"{name} uses QuickGELU, and the weights {tag!r} were trained without it; the numbers would be wrong. "
            f"Use open_clip:{re.sub('-quickgelu$', '', name)}/{tag}."
        )
    return {"pretrained": tag, "force_quick_gelu": quick}


def _download(open_clip: Any, name: str, tag: str, cache_dir: str | None) -> str:
    settings = open_clip.get_pretrained_cfg(name, tag)
    logger.info("weights of %s/%s: %s", name, tag, settings.get("hf_hub") or settings.get("url"))
    try:
        return str(open_clip.download_pretrained(settings, cache_dir=cache_dir))
    except Exception as error:
        raise EncoderError(
            f"weights of open_clip:{name}/{tag} cannot be downloaded ({type(error).__name__}: {error}). "
            "Check the connection, or give a local file with ?checkpoint=FILE.safetensors."
        ) from error


def _hub_weights(open_clip: Any, repository: str, unsafe_pt: bool, cache_dir: str | None) -> Path:
    logger.info("weights of hf-hub:%s", repository)
    filename = None if unsafe_pt else open_clip.constants.HF_SAFE_WEIGHTS_NAME
    try:
        path = open_clip.pretrained.download_pretrained_from_hf(repository, filename=filename, cache_dir=cache_dir)
        return Path(path)
    except Exception as error:
        raise EncoderError(
            f"hf-hub:{repository} offers no {filename or 'open_clip weights'} that can be downloaded "
            f"({type(error).__name__}: {error}). Check the name and the connection; pickled weights need unsafe_pt=1."
        ) from error


def _local_weights(folder: Path, unsafe_pt: bool) -> Path:
    if not folder.is_dir():
        raise EncoderError(f"local-dir: {str(folder)!r} is not a folder.")
    if not (folder / "open_clip_config.json").is_file():
        raise EncoderError(
            f"{folder.name}: no open_clip_config.json in the folder; expected it beside a .safetensors file. "
            "A transformers folder is loaded with transformers:PATH."
        )
    found = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin", ".pth"))
    if not found:
        raise EncoderError(
            f"{folder.name}: the folder has a configuration and no weights; expected a .safetensors file."
        )
    from open_clip.factory import _find_checkpoint_in_dir  # the very file that create_model will read

    path = Path(_find_checkpoint_in_dir(folder))
    require_safetensors(path, unsafe_pt)
    return path


def _usual_preprocessing(open_clip: Any, name: str) -> dict[str, Any]:
    """The preprocessing on which all published weights of an architecture agree; {} where they differ."""
    keys = ("mean", "std", "interpolation", "resize_mode")
    tags = open_clip.list_pretrained_tags_by_model(name)
    settings = [open_clip.get_pretrained_cfg(name, tag) for tag in tags]
    chosen = [{key: entry[key] for key in keys if entry.get(key) is not None} for entry in settings]
    return chosen[0] if chosen and all(entry == chosen[0] for entry in chosen) else {}


def _commit(path: Path) -> str | None:
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else None


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    import torch

    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):  # the caller's random state stays as it was
        torch.manual_seed(seed)
        root = logging.getLogger()
        level, root.level = root.level, logging.ERROR  # open_clip warns of random weights, which were asked for
        try:
            yield
        finally:
            root.level = level


@contextmanager
def _explained(target: str) -> Iterator[None]:
    try:
        yield
    except FairVLError:
        raise
    except Exception as error:
        reason = re.sub(r"\s+", " ", str(error))[:400]
        raise EncoderError(
            f"open_clip:{target} cannot be loaded ({type(error).__name__}: {reason}). Expected weights that fit the "
            "architecture and, for local models, tokenizer files in the folder or in the local cache."
        ) from error
