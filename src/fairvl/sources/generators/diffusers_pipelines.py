"""The adapter for diffusers: any text-to-image pipeline, from a local folder or the hub, without code of its own."""

from __future__ import annotations

import inspect
import math
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import GeneratorError
from ...fingerprints import fingerprint
from ..encoders.seam import need
from ..encoders.towers import offline
from .folder import check_pipeline_folder, weights_id
from .seam import Generator, GeneratorCard, Images, check_images, check_prompts, check_seeds

DTYPES = ("float32", "float16", "bfloat16")
LONG_WINDOW = 10_000  # tokenizers without a limit say 1e30


class DiffusersGenerator(Generator):
    """A diffusers pipeline in evaluation mode with fixed settings, one random stream per image.

    `pipeline` is the user's own object: an operator attached to it, or an edit of its weights, shows in the card.
    Images of one batch are computed together; another batch size can move single values by one grey level.
    """

    def __init__(
        self, pipeline: Any, *, name: str = "", weights: str = "", steps: int | None = None,
        guidance: float | None = None, size: tuple[int, int] | None = None, batch_size: int = 8,
        licence: str | None = None,
    ) -> None:  # fmt: skip
        need("diffusers", "diffusion")
        accepted = inspect.signature(type(pipeline).__call__).parameters
        if not {"prompt", "generator", "num_inference_steps"} <= set(accepted):
            raise GeneratorError(
                f"{type(pipeline).__name__} is no text-to-image pipeline: it takes no prompt, generator and "
                "num_inference_steps."
            )
        for part in pipeline.components.values():
            if hasattr(part, "eval"):
                part.eval()
        pipeline.set_progress_bar_config(disable=True)
        self.pipeline = pipeline
        self.batch_size = batch_size
        self._accepted = accepted
        default = accepted["num_inference_steps"].default
        self._steps = steps if steps is not None else int(default)
        guided = accepted["guidance_scale"].default if "guidance_scale" in accepted else 1.0
        self._guidance = float(guidance if guidance is not None else guided)
        if guidance is not None and "guidance_scale" not in accepted:
            raise GeneratorError(f"{type(pipeline).__name__} takes no guidance scale; leave guidance out.")
        if self._steps < 1 or not np.isfinite(self._guidance) or self._guidance < 0 or batch_size < 1:
            raise GeneratorError(
                f"steps={self._steps}, guidance={self._guidance}, batch_size={batch_size}; at least 1, 0 and 1."
            )
        self._size = _size(pipeline, size)
        self._identity = {
            "name": name or type(pipeline).__name__,
            "weights": weights or "in memory",
            "licence": licence,
        }

    @property
    def card(self) -> GeneratorCard:
        """What makes the images now: repairs attached to the pipeline since loading are named."""
        scheduler = self.pipeline.scheduler
        # DPM-Solver clips at -inf by default, which JSON has no word for
        settings = {
            key: str(value) if value in (math.inf, -math.inf) else value
            for key, value in scheduler.config.items()
            if not key.startswith("_")
        }
        repairs = getattr(self.pipeline, "fairvl_repairs", None) or {}
        return GeneratorCard(
            library="diffusers",
            name=self._identity["name"] or "",
            weights=self._identity["weights"] or "",
            scheduler=f"{type(scheduler).__name__} {fingerprint(settings)}",
            steps=self._steps,
            guidance=self._guidance,
            size=self._size,
            dtype=str(self.pipeline.dtype).removeprefix("torch."),
            licence=self._identity["licence"],
            repair=" ".join(f"{kind}:{name}" for kind, name in sorted(repairs.items())),
        )

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> Images:
        prompts = check_prompts(prompts)
        seeds = check_seeds(seeds, len(prompts))
        parts = [np.zeros((0, *self._size, 3), np.uint8)]
        for start in range(0, len(prompts), self.batch_size):
            batch = slice(start, start + self.batch_size)
            parts.append(self._batch(prompts[batch], seeds[batch]))
        return np.concatenate(parts)

    def over_length(self, prompts: Sequence[str]) -> list[int]:
        long: set[int] = set()
        for tokenizer in (part for name, part in self.pipeline.components.items() if name.startswith("tokenizer")):
            window = getattr(tokenizer, "model_max_length", None) if tokenizer is not None else None
            if window is not None and window < LONG_WINDOW:
                ids = tokenizer(list(prompts), truncation=False, verbose=False).input_ids
                long.update(place for place, row in enumerate(ids) if len(row) > window)
        return sorted(long)

    def _batch(self, prompts: list[str], seeds: list[int]) -> Images:
        torch = need("torch", "diffusion")
        # On the CPU, so that a seed means the same noise on every device.
        streams = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        options: dict[str, Any] = {"num_inference_steps": self._steps, "output_type": "np", "generator": streams}
        if "guidance_scale" in self._accepted:
            options["guidance_scale"] = self._guidance
        if "height" in self._accepted:
            options |= {"height": self._size[0], "width": self._size[1]}
        with warnings.catch_warnings():  # some samplers speak to NumPy 2 in the manner of NumPy 1
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            made = self.pipeline(prompt=prompts, **options)
        flagged = getattr(made, "nsfw_content_detected", None)
        if flagged is not None and any(flagged):
            warnings.warn(
                f"the pipeline's safety checker blacked out {sum(flagged)} of {len(flagged)} images.", stacklevel=3
            )
        images = np.asarray(made.images)
        if images.dtype.kind != "f" or not np.isfinite(images).all():
            raise GeneratorError(
                f"{self._identity['name']}: images of dtype {images.dtype} with values that are not finite; "
                "expected floats. A float16 pipeline can overflow: try dtype='bfloat16' or 'float32'."
            )
        return check_images(
            np.round(images.clip(0, 1) * 255).astype(np.uint8), len(prompts), type(self.pipeline).__name__
        )


def load_diffusers(
    source: str, *, steps: int | None = None, guidance: float | None = None, size: str | tuple[int, int] | None = None,
    device: str = "cpu", dtype: str = "float32", batch_size: int = 8, revision: str = "", variant: str = "",
    name: str = "", licence: str = "",
) -> DiffusersGenerator:  # fmt: skip
    """A text-to-image pipeline of a local folder or, where no such folder exists, of the hub.

    Raises
    ------
    GeneratorError
        An incomplete folder, pickled weights, code in the folder, no such repository, no text-to-image pipeline.
    """
    diffusers, torch = need("diffusers", "diffusion"), need("torch", "diffusion")
    if dtype not in DTYPES:
        raise GeneratorError(f"dtype={dtype!r}; expected one of {', '.join(DTYPES)}.")
    folder = Path(source)
    local = folder.is_dir() or source.startswith((".", "/", "~"))
    folder = folder.expanduser() if local else _downloaded(diffusers, source, revision, variant)
    index = check_pipeline_folder(folder)
    options = {_dtype_option(diffusers): getattr(torch, dtype), "use_safetensors": True, "local_files_only": True}
    if variant:
        options["variant"] = variant
    options |= _saved_without(index)
    try:
        with offline(), _quiet(diffusers):
            pipeline = _loaded(diffusers, index["_class_name"], folder, options).to(device)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError) as error:
        reason = str(error).split("\n")[0][:300]
        raise GeneratorError(
            f"{source}: not loaded as {index['_class_name']} ({type(error).__name__}: {reason})."
        ) from None
    weights = weights_id(folder) if local else f"commit {folder.name}"
    return DiffusersGenerator(
        pipeline, name=name or (folder.name if local else source), weights=weights, steps=steps, guidance=guidance,
        size=_pixels(size), batch_size=batch_size, licence=licence or None,
    )  # fmt: skip


def load_text_towers(folder: Path) -> Any:
    """The pipeline of a folder with its tokenizers and text towers alone."""
    diffusers = need("diffusers", "diffusion")
    index = check_pipeline_folder(folder)
    others = [
        name for name, kind in index.items() if isinstance(kind, list) and not name.startswith(("text_", "token"))
    ]
    left_out = dict.fromkeys(others) | _saved_without(index)
    with offline(), _quiet(diffusers):
        kind = getattr(diffusers, index["_class_name"])
        return kind.from_pretrained(folder, local_files_only=True, use_safetensors=True, **left_out)


def _saved_without(index: dict[str, Any]) -> dict[str, None]:
    """Parts that the pipeline was saved without, such as the T5 of SD3, which diffusers wants to be told again."""
    return {name: None for name, kind in index.items() if isinstance(kind, list) and kind[:2] == [None, None]}


def _loaded(diffusers: Any, kind: str, folder: Path, options: dict[str, Any]) -> Any:
    """Through the automatic class where it knows the pipeline, so that an inpainting checkpoint makes images too."""
    try:
        return diffusers.AutoPipelineForText2Image.from_pretrained(folder, **options)
    except ValueError as error:
        if "AutoPipeline" not in str(error) or not hasattr(diffusers, kind):
            raise
    return diffusers.DiffusionPipeline.from_pretrained(folder, **options)


def _dtype_option(diffusers: Any) -> str:
    renamed = hasattr(diffusers.utils.deprecation_utils, "_resolve_dtype") or diffusers.__version__ >= "1"
    return "dtype" if renamed else "torch_dtype"


@contextmanager
def _quiet(diffusers: Any) -> Iterator[None]:
    """No progress bars where nobody looks, and no word about what the libraries deprecate among themselves."""
    settings = [diffusers.utils.logging, need("transformers", "diffusion").utils.logging]
    shown = [one for one in settings if one.is_progress_bar_enabled()]
    for one in () if sys.stderr.isatty() else shown:
        one.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for one in shown:
            one.enable_progress_bar()


def _downloaded(diffusers: Any, source: str, revision: str, variant: str) -> Path:
    options = {key: value for key, value in (("revision", revision), ("variant", variant)) if value}
    try:
        return Path(diffusers.DiffusionPipeline.download(source, use_safetensors=True, **options))
    except Exception as error:  # the hub's client has a tree of its own
        reason = str(error).split("\n")[0][:300]
        raise GeneratorError(
            f"{source}: no such folder, and not fetched from the hub ({type(error).__name__}: {reason}). Name a folder "
            "that save_pretrained wrote (./NAME for one here) or a repository with safetensors weights."
        ) from None


def _pixels(size: str | tuple[int, int] | None) -> tuple[int, int] | None:
    if size is None or size == "":
        return None
    given = tuple(str(size).lower().split("x")) if isinstance(size, str) else (str(size[0]), str(size[1]))
    if len(given) not in (1, 2) or not all(part.strip().isdecimal() and int(part) > 0 for part in given):
        raise GeneratorError(f"size={size!r}; expected HEIGHTxWIDTH in pixels, such as 512x512.")
    return int(given[0]), int(given[-1])


def _size(pipeline: Any, size: tuple[int, int] | None) -> tuple[int, int]:
    if size is not None:
        return size
    denoiser = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    own: Any = getattr(getattr(denoiser, "config", None), "sample_size", 64)
    sample: Any = getattr(pipeline, "default_sample_size", None) or own
    sides = [sample, sample] if isinstance(sample, int) else list(sample)
    factor = int(getattr(pipeline, "vae_scale_factor", 8))
    return int(sides[0]) * factor, int(sides[1]) * factor
