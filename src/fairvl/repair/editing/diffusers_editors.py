"""Editors made of diffusers pipelines: told in words, inverted and guided, or moved along CLIP vectors.

One image at a time, each with its own random stream: image i depends on image i, its seed and its edit alone.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ...fingerprints import fingerprint
from ...sources.encoders.seam import need
from ...sources.encoders.towers import offline
from ...sources.generators.folder import check_pipeline_folder, weights_id
from .seam import (
    Codes,
    CodeStats,
    Dipole,
    Editor,
    EditorCard,
    Images,
    State,
    check_seeds,
    check_strength,
    square_images,
)

KINDS = ("instruction", "ledits", "unclip")
INSTRUCTION = "turn it into {}"


class _Pipeline(Editor):
    """What the three have in common: a pipeline in evaluation mode, its card, images as PIL."""

    def __init__(
        self, pipeline: Any, *, size: int | None = None, steps: int | None = None, name: str = "", weights: str = "",
        licence: str | None = None, fit: str = "refuse", **settings: Any,
    ) -> None:  # fmt: skip
        for part in pipeline.components.values():
            if hasattr(part, "eval"):
                part.eval()
        pipeline.set_progress_bar_config(disable=True)
        self.pipeline = pipeline
        self.accepted = inspect.signature(type(pipeline).__call__).parameters
        self.size = size or _side(pipeline)
        self.steps = steps or int(
            self.accepted["num_inference_steps"].default if "num_inference_steps" in self.accepted else 50
        )
        if self.size < 8 or self.steps < 1 or fit not in ("refuse", "crop", "pad"):
            raise InputError(f"size={self.size}, steps={self.steps}, fit={fit!r}; expected 8, 1 or more, and a fit.")
        self.fit = fit
        self.settings = settings
        self._identity = (name or type(pipeline).__name__, weights or "in memory", licence)

    @property
    def card(self) -> EditorCard:
        name, weights, licence = self._identity
        scheduler = self.pipeline.scheduler
        told = {key: str(value) for key, value in scheduler.config.items() if not key.startswith("_")}
        settings = {
            "steps": self.steps,
            "scheduler": f"{type(scheduler).__name__} {fingerprint(told)}",
            **self.settings,
        }
        return EditorCard(
            family=type(self.pipeline).__name__, name=name, weights=weights, size=self.size, licence=licence,
            settings=settings,
        )  # fmt: skip

    def encode(self, images: Sequence[Any], *, seeds: Sequence[int] | None = None) -> State:
        squares = square_images(images, self.size, fit=self.fit)
        return State(images=squares, seeds=check_seeds(seeds, len(squares)))

    def _told(self, state: State, change: Any, strength: float | ArrayLike) -> State:
        texts = _texts(change)
        amounts = check_strength(strength, len(state))
        if texts is None:
            raise InputError(f"{self.card.family} takes an instruction or a dipole, not {type(change).__name__}.")
        return replace(state, instructions=tuple(texts for _ in range(len(state))), strengths=amounts)

    def decode(self, state: State) -> Images:
        made = [self._one(state, i) for i in range(len(state))]
        return np.stack(made)

    @abstractmethod
    def _one(self, state: State, i: int) -> Images:
        """Image `i` after its edit."""

    def _stream(self, seed: int) -> Any:
        return need("torch", "diffusion").Generator("cpu").manual_seed(seed)

    def _picture(self, made: Any) -> Images:
        values = np.asarray(made.images[0])
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            raise InputError(f"{self.card.name} made values that are not finite; try another precision.")
        image = np.round(values.clip(0, 1) * 255).astype(np.uint8)
        squared: Images = square_images([image], self.size)[0]
        return squared


class InstructionEditor(_Pipeline):
    """Pipelines that take an image and a text: InstructPix2Pix, FLUX.2 klein, FLUX Kontext, Qwen-Image-Edit, ...

    A change is an instruction, or a `Dipole`, of which a template makes one ("turn it into a photo of an old person").
    Strength 0 gives the image back; else its size multiplies the text guidance where the pipeline has one. A negative
    strength needs a dipole: it names the other pole. A text that was cut does not reach the model, and is refused.
    """

    capabilities = frozenset()

    def __init__(self, pipeline: Any, *, guidance: float | None = None, template: str = INSTRUCTION, **options: Any):
        super().__init__(pipeline, guidance=guidance, template=template, **options)
        if not {"image", "prompt"} <= set(self.accepted):
            raise InputError(f"{type(pipeline).__name__} takes no image and prompt; it cannot be told what to edit.")

    def edit(self, state: State, change: Any, strength: float | ArrayLike = 1.0) -> State:
        told = self._told(state, change, strength)
        assert told.strengths is not None
        if isinstance(change, str) and (told.strengths < 0).any():
            raise InputError(
                f"a negative strength of the instruction {change!r}: an instruction has no opposite. Give a dipole, or "
                "an instruction of its own for the other way."
            )
        self._check_length(told.instructions)
        return told

    def _prompts(self, told: str) -> list[str]:
        """What the model reads for each pole; the instruction itself where there is one alone."""
        poles = told.split("\n")
        template: str = self.settings["template"]
        return poles if len(poles) == 1 else [template.format(pole) for pole in poles]

    def _check_length(self, told: Sequence[str]) -> None:
        tokenizer = getattr(self.pipeline, "tokenizer", None)
        window = getattr(tokenizer, "model_max_length", None)
        if tokenizer is None or window is None or window > 10_000:
            return
        for pair in set(told):
            for text in self._prompts(pair):
                found = len(tokenizer(text, truncation=False, verbose=False).input_ids)
                if found > window:
                    raise InputError(f"{text[:60]!r}: {found} tokens, the model reads {window}. Shorten it.")

    def _one(self, state: State, i: int) -> Images:
        from PIL import Image

        assert state.images is not None
        amount = 0.0 if state.strengths is None else float(state.strengths[i])
        if not state.instructions or amount == 0:
            untouched: Images = state.images[i]
            return untouched
        prompts = self._prompts(state.instructions[i])
        prompt = prompts[0 if amount > 0 else -1]
        options: dict[str, Any] = {"num_inference_steps": self.steps, "output_type": "np"}
        if "guidance_scale" in self.accepted:
            base = self.settings["guidance"] or float(self.accepted["guidance_scale"].default)
            options["guidance_scale"] = base * abs(amount)
        if "height" in self.accepted:
            options |= {"height": self.size, "width": self.size}
        stream = self._stream(state.seeds[i])
        return self._picture(
            self.pipeline(prompt=prompt, image=Image.fromarray(state.images[i]), generator=stream, **options)
        )


class LeditsEditor(_Pipeline):
    """LEDITS++: the image is inverted, then guided towards one text and away from another; nothing is trained.

    Strength is a factor of the edit guidance; its sign says which pole of a dipole is added and which is taken away.
    Strength 0 reconstructs the image, nearly. `use_intersect_mask=False` is needed where latents are small, because
    the mask looks for attention maps of a fixed size.

    References
    ----------
    Brack et al. (2024), "LEDITS++: Limitless image editing using text-to-image models".
    """

    capabilities = frozenset({"continuous", "invertible"})

    def __init__(
        self, pipeline: Any, *, skip: float = 0.15, guidance: float = 5.0, threshold: float = 0.9,
        use_intersect_mask: bool = True, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            pipeline,
            skip=skip,
            guidance=guidance,
            threshold=threshold,
            use_intersect_mask=use_intersect_mask,
            **options,
        )
        if not hasattr(pipeline, "invert"):
            raise InputError(f"{type(pipeline).__name__} cannot invert an image; expected a LEDITS++ pipeline.")

    def edit(self, state: State, change: Any, strength: float | ArrayLike = 1.0) -> State:
        return self._told(state, change, strength)

    def _one(self, state: State, i: int) -> Images:
        from PIL import Image

        assert state.images is not None
        amount = 0.0 if state.strengths is None else float(state.strengths[i])
        stream = self._stream(state.seeds[i])
        self.pipeline.invert(
            image=Image.fromarray(state.images[i]), num_inversion_steps=self.steps, skip=self.settings["skip"],
            generator=stream, height=self.size, width=self.size,
        )  # fmt: skip
        options: dict[str, Any] = {"use_intersect_mask": self.settings["use_intersect_mask"], "output_type": "np"}
        if state.instructions and amount:
            texts = [text for text in state.instructions[i].split("\n") if text]
            options |= {
                "editing_prompt": texts,
                "reverse_editing_direction": [(place == 1) == (amount > 0) for place in range(len(texts))],
                "edit_guidance_scale": [self.settings["guidance"] * abs(amount)] * len(texts),
                "edit_threshold": [self.settings["threshold"]] * len(texts),
            }
        return self._picture(self.pipeline(generator=stream, **options))


class UnclipEditor(_Pipeline):
    """Decoders of CLIP image vectors (Kandinsky 2.2, Stable unCLIP): the vector is the code, and a path moves it.

    Paths need no gradient through sampling: the text vectors of the same CLIP model are a field over the codes
    (`text_path`), or a path is learned on the vectors alone.

    Parameters
    ----------
    pipeline
        ``KandinskyV22Pipeline`` or ``StableUnCLIPImg2ImgPipeline``.
    encoder : optional
        What holds `image_encoder` and its image processor (and, for `text_path`, `text_encoder` and `tokenizer`):
        the prior pipeline of Kandinsky. Default: the pipeline itself.
    """

    capabilities = frozenset({"code_space", "continuous"})

    def __init__(self, pipeline: Any, *, encoder: Any = None, guidance: float | None = None, **options: Any) -> None:
        super().__init__(pipeline, guidance=guidance, **options)
        self.encoder = encoder or pipeline
        if "image_embeds" not in self.accepted or getattr(self.encoder, "image_encoder", None) is None:
            raise InputError(
                f"{type(pipeline).__name__}: expected a pipeline that takes image_embeds, and an image_encoder (of "
                "Kandinsky's prior: pass encoder=)."
            )

    def encode(self, images: Sequence[Any], *, seeds: Sequence[int] | None = None) -> State:
        """The CLIP vectors of the images; what they leave out (pose, background) is drawn from the seeds."""
        from PIL import Image

        torch = need("torch", "diffusion")
        squares = square_images(images, self.size, fit=self.fit)
        own = getattr(self.encoder, "image_processor", None) or self.encoder.feature_extractor
        pixels = own([Image.fromarray(one) for one in squares], return_tensors="pt").pixel_values
        tower = self.encoder.image_encoder
        with torch.no_grad():
            parts = [
                tower(part.to(tower.device, tower.dtype)).image_embeds.float().cpu().numpy() for part in pixels.split(8)
            ]
        return State(codes=np.concatenate(parts), seeds=check_seeds(seeds, len(squares)))

    def stats(self, images: Sequence[Any]) -> CodeStats:
        """Statistics of the vectors of some images."""
        codes = self.encode(images).codes
        assert codes is not None
        return CodeStats.of(codes)

    def edit(self, state: State, change: Any, strength: float | ArrayLike = 1.0) -> State:
        if not callable(change):
            raise InputError(
                f"{self.card.family} moves codes along a path; {type(change).__name__} is none. `text_path` makes one "
                "of a dipole."
            )
        assert state.codes is not None
        amounts = check_strength(strength, len(state))
        return replace(state, codes=np.asarray(change(state.codes, amounts), np.float32), strengths=amounts)

    def text_path(self, dipole: Dipole, *, beta: float = 0.5, steps: int = 16) -> TextPath:
        """The field of the dipole's text vectors, of the CLIP model whose image vectors are the codes.

        Raises
        ------
        InputError
            No text tower whose vectors are as wide as the codes.
        """
        tower: Any = getattr(self.encoder, "text_encoder", None)
        tokenizer: Any = getattr(self.encoder, "tokenizer", None)
        width = getattr(getattr(tower, "config", None), "projection_dim", None)
        if not hasattr(tower, "text_projection") or width != self.encoder.image_encoder.config.projection_dim:
            raise InputError(
                f"{type(self.encoder).__name__} has no text tower in the space of its image vectors; learn a path on "
                "them, or pass the prior pipeline as encoder=."
            )
        torch = need("torch", "diffusion")

        def mean(texts: Sequence[str]) -> NDArray[np.float64]:
            ids = tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt")
            with torch.no_grad():
                found = tower(ids.input_ids.to(tower.device)).text_embeds
            return np.asarray(found.double().cpu().numpy().mean(axis=0))

        return TextPath(dipole.attribute, mean(dipole.positive), mean(dipole.negative), beta, steps)

    def _one(self, state: State, i: int) -> Images:
        torch = need("torch", "diffusion")
        assert state.codes is not None
        dtype = self.pipeline.dtype
        code = torch.from_numpy(np.ascontiguousarray(state.codes[i : i + 1])).to(self.pipeline.device, dtype)
        options: dict[str, Any] = {"num_inference_steps": self.steps, "output_type": "np", "image_embeds": code}
        if "negative_image_embeds" in self.accepted:
            options["negative_image_embeds"] = torch.zeros_like(code)
        if "prompt" in self.accepted:
            options["prompt"] = ""
        if self.settings["guidance"] is not None:
            options["guidance_scale"] = self.settings["guidance"]
        made = self.pipeline(height=self.size, width=self.size, generator=self._stream(state.seeds[i]), **options)
        return self._picture(made)


class TextPath:
    """A way through CLIP vectors that two text vectors span, as a signed radial field: uphill towards the first.

    The direction at f is ``-sum_i a_i g exp(-g |f - t_i|^2) (f - t_i)`` with a = (1, -1) and
    ``g = -ln(beta) / |t+ - t-|^2``, of unit length; computed with the largest exponent taken out, because image and
    text vectors lie so far apart that the exponentials vanish. Strength is the length of the way in units of the
    texts' distance, walked in midpoint steps, so that the way back ends near its beginning.

    References
    ----------
    Tzelepis et al. (2022), "ContraCLIP", equations 4 and 5.
    """

    def __init__(
        self, attribute: str, positive: ArrayLike, negative: ArrayLike, beta: float = 0.5, steps: int = 16
    ) -> None:
        self.attribute = attribute
        self.poles = np.stack([np.asarray(positive, np.float64), np.asarray(negative, np.float64)])
        self.distance = float(np.linalg.norm(self.poles[0] - self.poles[1]))
        if not 0 < beta < 1 or steps < 1 or not self.distance > 0:
            raise InputError(f"beta={beta}, steps={steps}, poles {self.distance} apart; expected two different texts.")
        self.gamma, self.steps = -np.log(beta) / self.distance**2, steps

    @property
    def fingerprint(self) -> str:
        """Of the poles and the settings."""
        return fingerprint([self.poles.tobytes().hex(), self.gamma, self.steps])

    def direction(self, codes: ArrayLike) -> NDArray[np.float64]:
        """Unit directions [n, d] at codes [n, d]."""
        offsets = np.asarray(codes, np.float64)[:, None] - self.poles  # [n, 2, d]
        powers = -self.gamma * (offsets**2).sum(axis=2)
        weights = np.exp(powers - powers.max(axis=1, keepdims=True)) * np.array([-1.0, 1.0])
        field = (weights[..., None] * offsets).sum(axis=1)
        length = np.linalg.norm(field, axis=1, keepdims=True)
        straight = (self.poles[0] - self.poles[1]) / self.distance
        return np.asarray(np.where(length > 1e-12, field / np.maximum(length, 1e-12), straight))

    def __call__(self, codes: Codes, strength: float | NDArray[Any]) -> Codes:
        values = np.asarray(codes, np.float64)
        step = (check_strength(strength, len(values)).astype(np.float64) * self.distance / self.steps)[:, None]
        for _ in range(self.steps):
            values = values + step * self.direction(values + step / 2 * self.direction(values))
        return np.asarray(values, np.float32)


_EDITORS: Mapping[str, type[_Pipeline]] = {
    "instruction": InstructionEditor, "ledits": LeditsEditor, "unclip": UnclipEditor
}  # fmt: skip


def load_diffusers_editor(
    source: str, *, kind: str = "", device: str = "cpu", dtype: str = "float32", revision: str = "", name: str = "",
    **options: Any,
) -> Editor:  # fmt: skip
    """An editor of a pipeline in a local folder or, where no such folder exists, of the hub.

    Parameters
    ----------
    source : str
        What `from_pretrained` takes. Only safetensors weights, never code from the folder.
    kind : "instruction", "ledits" or "unclip"
        Default: what the pipeline's class can do. "ledits" opens a Stable Diffusion (XL) folder as LEDITS++.
    **options
        Of the editor: size, steps, guidance, fit, licence, ...; for unclip `prior`, the folder of Kandinsky's prior.

    Raises
    ------
    InputError, GeneratorError
    """
    diffusers, torch = need("diffusers", "diffusion"), need("torch", "diffusion")
    if kind and kind not in KINDS:
        raise InputError(f"kind={kind!r}; expected one of {', '.join(KINDS)}.")
    folder = FilePath(source).expanduser()
    local = folder.is_dir() or source.startswith((".", "/", "~"))
    prior = options.pop("prior", None)
    if prior is not None:
        options["encoder"] = _loaded(diffusers, torch, str(prior), "", dtype, device, "")
    pipeline = _loaded(diffusers, torch, source, kind, dtype, device, revision)
    kind = kind or _kind(pipeline)
    weights = weights_id(folder) if local else f"{source}@{revision or 'main'}"
    named = name or (folder.name if local else source)
    return _EDITORS[kind](pipeline, name=named, weights=weights, **options)


def _loaded(diffusers: Any, torch: Any, source: str, kind: str, dtype: str, device: str, revision: str) -> Any:
    folder = FilePath(source).expanduser()
    local = folder.is_dir() or source.startswith((".", "/", "~"))
    options: dict[str, Any] = {"use_safetensors": True, "torch_dtype": getattr(torch, dtype)}
    owner = diffusers.DiffusionPipeline
    if local:
        index = check_pipeline_folder(folder)
        if kind == "ledits":
            xl = "XL" in index["_class_name"]
            owner = diffusers.LEditsPPPipelineStableDiffusionXL if xl else diffusers.LEditsPPPipelineStableDiffusion
        options |= {
            part: None for part, value in index.items() if isinstance(value, list) and value[:2] == [None, None]
        }
        with offline():
            pipeline = owner.from_pretrained(folder, local_files_only=True, **options)
    else:
        if kind == "ledits":
            owner = diffusers.LEditsPPPipelineStableDiffusion
        pipeline = owner.from_pretrained(source, **options, **({"revision": revision} if revision else {}))
    return pipeline.to(device)


def _kind(pipeline: Any) -> str:
    accepted = inspect.signature(type(pipeline).__call__).parameters
    if hasattr(pipeline, "invert"):
        return "ledits"
    if "image_embeds" in accepted:
        return "unclip"
    if {"image", "prompt"} <= set(accepted):
        return "instruction"
    raise InputError(
        f"{type(pipeline).__name__} edits no images: it takes no image with a prompt and no image_embeds. A Stable "
        "Diffusion folder becomes an editor with kind='ledits'."
    )


def _texts(change: Any) -> str | None:
    """An instruction, or both poles of a dipole in two lines."""
    if isinstance(change, str):
        return change
    if isinstance(change, Dipole):
        return f"{change.positive[0]}\n{change.negative[0]}"
    return None


def _side(pipeline: Any) -> int:
    denoiser = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    sample: Any = getattr(getattr(denoiser, "config", None), "sample_size", None) or 64
    side = sample if isinstance(sample, int) else sample[0]
    factor = getattr(pipeline, "vae_scale_factor", None) or getattr(pipeline, "movq_scale_factor", None) or 8
    return int(side) * int(factor)
