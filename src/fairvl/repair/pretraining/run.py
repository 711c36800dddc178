"""Continued pretraining on neutral captions, and its control arm on the original ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...atomic import require_writable, write_atomic
from ...errors import DatasetError, InputError
from ...fingerprints import canonical_json
from ...jobs import Optimisation, Share, train
from ...jobs.training import LOSSES, Precision, Schedule, read_losses
from ...sources.datasets import Dataset
from ..captions import NeutralCaptions
from .batches import Batches, read_texts
from .checks import Check, check_learning, check_pairing, require_learning
from .draws import id_keys, stream, uniform
from .images import KEEP, Images
from .lesson import Lesson, Reading, Width
from .models import bound_scale, load_trained, trainable
from .objectives import OBJECTIVES
from .pairs import Pairs, read_pairs
from .ramp import END, START, neutral_probability, released_ramp

Arm = Literal["neutral", "control"]
MODEL, CHECKS = "model", "checks.json"
LEAST_HELD_OUT, MOST_HELD_OUT = 16, 2000


@dataclass(frozen=True)
class PretrainRun:
    """What a training left in its folder.

    Attributes
    ----------
    folder : Path
        ``model/`` (the trained model), ``losses.jsonl`` (one row per step) and ``checks.json``.
    family : str
    checks : tuple of Check
        What the model learned, on held-out pairs; empty without checks.
    first : int
        Step from which this call went on; the number of steps when nothing was left to do.
    seconds_per_step : float
        NaN when this call made no step.
    """

    folder: Path
    family: str
    checks: tuple[Check, ...]
    first: int
    seconds_per_step: float

    @cached_property
    def model(self) -> Any:
        """The trained model, read back from the folder."""
        return load_trained(self.family, self.folder / MODEL)

    @property
    def losses(self) -> list[dict[str, Any]]:
        """The loss log: step, lr, every loss, share of neutral texts, norm of the gradient."""
        return read_losses(self.folder / LOSSES)

    def describe(self) -> str:
        """One line for people."""
        rows = self.losses
        learned = "; ".join(check.describe() for check in self.checks) or "not checked"
        losses = f"loss {rows[0]['loss']:.3f} at the first and {rows[-1]['loss']:.3f} at the last"
        return f"{len(rows)} steps, {losses}; {learned}"


def pretrain(
    model: Any,
    dataset: Pairs | Dataset | str,
    out: Path | str,
    *,
    captions: NeutralCaptions | Mapping[str, str] | Path | str | None = None,
    arm: Arm = "neutral",
    steps: int,
    batch_size: int,
    accumulate: int = 1,
    lr: float = 5e-5,
    final_lr: float = 0.0,
    warmup: float = 0.1,
    schedule: Schedule = "cosine",
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
    clip: float | None = 1.0,
    dropout: bool = False,
    precision: Precision = "no",
    objectives: Sequence[str] | Mapping[str, float] | None = None,
    contrast: Width = "batch",
    reading: Reading = "plain",
    mask_rate: float = 0.15,
    ramp: tuple[float, float] | Literal["released"] = (START, END),
    held_out: float = 0.05,
    checks: bool = True,
    image: str | None = None,
    label: str | None = None,
    skip_empty: bool = False,
    checkpoint_every: int = 500,
    workers: int = 2,
    keep: int = KEEP,
    seed: int = 0,
) -> PretrainRun:
    """Continue the pretraining of a model on captions that become gender-neutral as it goes; resumable.

    At each step every sample shows its neutral caption with a probability that rises with the global step (`ramp`).
    What is random follows from (seed, step, caption id) alone: workers, pieces and processes change no number beyond
    rounding. Start it with ``accelerate launch`` for several devices. Killed at any moment, the same call goes on and
    ends with the same bytes.

    Parameters
    ----------
    model : FusionModel or Encoder
        Its weights are the start and are as they were when this returns; the trained model is ``run.model``. An encoder
        of open_clip or transformers (CLIP) is trained by contrast alone.
    dataset, captions, image, label, skip_empty
        See `read_pairs`: pairs, and the folder of `fairvl.captions` that holds their neutral captions.
    out : path
        Folder of the run; one that holds another configuration is refused.
    arm : "neutral" or "control"
        "control" shows the original captions only: equal steps, seeds and batches, to compare with.
    steps, batch_size : int
        The batch is global: over all processes, and over all of their pieces.
    accumulate : int
        Pieces in which a process computes its part of a batch: less memory, the same gradient.
    lr, final_lr, warmup, schedule, weight_decay, betas, clip, dropout, precision
        See `fairvl.jobs.Optimisation`.
    objectives : sequence or mapping of str to float, optional
        Of ``itc``, ``itm``, ``mlm``, ``lm``, with weights (1 by default). Default: all that the model has.
    contrast : "batch" or "piece"
        Where the contrastive loss finds its other rows. "batch" gives one number whatever pieces and processes; with
        ``accumulate`` above 1 it costs one more pass of both towers without gradient. "piece": less work, and fewer
        rows to tell apart.
    reading : "plain" or "masked"
        The text that matching reads; "masked" shares the pass of the masked-word loss: three in place of four.
    mask_rate : float
        Share of words to guess; at least one per caption.
    ramp : (float, float) or "released"
        Probability of the neutral caption at the start and at the end; or what the released code does
        (`released_ramp`, one worker), for comparison.
    held_out : float
        Share of images that the checks look at and training never sees: at least 16 and at most 2,000 of them.
    checks : bool
        Measure on them what was learned, and raise when it is nothing. Not part of the configuration.
    checkpoint_every, workers, keep
        Steps that a kill can cost, threads that decode images, bytes of decoded images kept in memory. They change no
        number.
    seed : int

    Returns
    -------
    PretrainRun

    Raises
    ------
    TrainingError
        The model did not learn from its pairs, or a loss is not finite; the message says what was measured.
    DatasetError, InputError, ConfigMismatchError, JobError
        Before a step: ids, captions, images or neutral captions that do not belong together, options that do not fit
        the model, a folder of another run.
    """
    folder = Path(out)
    require_writable(folder)
    if arm not in ("neutral", "control"):
        raise InputError(f"arm={arm!r}; expected 'neutral' or 'control'.")
    how = Optimisation(
        steps=steps, lr=lr, final_lr=final_lr, warmup=warmup, schedule=schedule, weight_decay=weight_decay,
        betas=betas, clip=clip, accumulate=accumulate, precision=precision, dropout=dropout,
    )  # fmt: skip
    student = trainable(model)
    weights = chosen_objectives(student, objectives)
    if contrast not in ("batch", "piece") or reading not in ("plain", "masked") or not 0 <= mask_rate < 1:
        raise InputError(f"contrast={contrast!r}, reading={reading!r}, mask_rate={mask_rate}.")
    pairs = read_pairs(dataset, captions, image=image, label=label, skip_empty=skip_empty)
    probability, last = _ramp(ramp, arm, steps, batch_size, len(pairs))
    share = Share.of(student.module, precision, accumulate)
    if batch_size < accumulate * share.processes:
        raise InputError(f"batch_size={batch_size} in {accumulate} pieces of {share.processes} processes.")
    training, test = split(pairs, held_out if checks or held_out else 0.0, seed)
    lesson = prepare(
        student, pairs, training, batch_size=batch_size, seed=seed, weights=weights, contrast=contrast, reading=reading,
        mask_rate=mask_rate, probability=probability, workers=workers, keep=keep,
    )  # fmt: skip
    config = {
        "arm": arm, "batch_size": batch_size, "objectives": dict(weights), "contrast": contrast, "reading": reading,
        "mask_rate": mask_rate, "ramp": list(ramp) if not isinstance(ramp, str) else ramp, "held_out": held_out,
        "model": student.card.as_dict(), "weights": weights_hash(student.module), "pairs": content_hash(pairs),
    }  # fmt: skip

    def finish(scratch: Path) -> Mapping[str, Any]:
        found = check_learning(lesson, test, last) if checks else []
        require_learning(found, str(folder / ".jobs" / "pretrain"))
        student.save(scratch / MODEL)
        facts = {"family": student.family, "checks": [check.as_dict() for check in found]}
        write_atomic(scratch / CHECKS, json.dumps(json.loads(canonical_json(facts)), indent=1) + "\n")
        return facts

    with restored(student.module), lesson.images:
        if training.size:
            check_pairing(lesson, training)
        run = train(
            student.module, lesson.learn, folder, optimisation=how, config=config, finish=finish, share=share,
            seed=seed, checkpoint_every=checkpoint_every, name="pretrain", after=partial(bound_scale, student.module),
        )  # fmt: skip
    found = tuple(Check(**check) for check in run.facts["checks"])
    return PretrainRun(folder, student.family, found, run.first, run.seconds_per_step)


def chosen_objectives(model: Any, objectives: Sequence[str] | Mapping[str, float] | None) -> dict[str, float]:
    """Objectives with their weights, checked against what the model can do."""
    able = [name for name in OBJECTIVES if name in model.card.capabilities]
    if objectives is None:
        wanted = dict.fromkeys(able, 1.0)
    else:
        wanted = dict(objectives) if isinstance(objectives, Mapping) else dict.fromkeys(objectives, 1.0)
    wrong = [name for name in wanted if name not in able]
    if wrong or not wanted or any(not weight > 0 for weight in wanted.values()):
        raise InputError(
            f"objectives {dict(wanted)}; {student_name(model)} can be trained on {', '.join(able) or 'nothing'}, each "
            "with a weight above 0."
        )
    return {name: float(wanted[name]) for name in OBJECTIVES if name in wanted}


def student_name(model: Any) -> str:
    """How messages name a model."""
    return f"{model.card.name} ({model.family})"


def split(pairs: Pairs, held_out: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows to check on; no image is in both. Follows from seed and image ids."""
    if not 0 <= held_out <= 0.5:
        raise InputError(f"held_out={held_out}; expected a share of at most one half.")
    keys = list(pairs.image_ids) if pairs.image_ids is not None else list(pairs.ids)
    distinct = sorted(set(keys))
    if not held_out:
        return np.arange(len(pairs)), np.zeros(0, np.int64)
    wanted = min(max(round(held_out * len(distinct)), LEAST_HELD_OUT), MOST_HELD_OUT)
    if wanted > len(distinct) // 2:
        raise DatasetError(
            f"{len(distinct)} images are too few to hold out {wanted} for the checks. Pass more, or held_out=0 with "
            "checks=False."
        )
    chance = uniform(id_keys(distinct), stream(seed, 0, "held out"))
    apart = {distinct[place] for place in np.argsort(chance, kind="stable")[:wanted]}
    test = np.array([key in apart for key in keys])
    return np.flatnonzero(~test), np.flatnonzero(test)


def prepare(
    model: Any, pairs: Pairs, rows: NDArray[np.int64], *, batch_size: int, seed: int, weights: Mapping[str, float],
    contrast: Width, reading: Reading, mask_rate: float, probability: Callable[[int], float], workers: int, keep: int,
) -> Lesson:  # fmt: skip
    """The lesson over given rows of pairs: texts tokenised once, images by number."""
    neutral = pairs.captions if pairs.neutral is None else pairs.neutral
    texts = read_texts(model, pairs.captions, neutral)
    names = list(pairs.image_ids) if pairs.image_ids is not None else list(pairs.ids)
    number = {name: place for place, name in enumerate(dict.fromkeys(names))}
    images = np.array([number[name] for name in names])
    first = np.unique(images, return_index=True)[1]
    sources = [pairs.images[row] for row in first]
    batches = Batches(texts, id_keys(pairs.ids), images, rows, batch_size, seed, mask_rate)
    held = Images(model, sources, list(number), workers=workers, keep=keep)
    return Lesson(model, batches, held, weights, contrast, reading, probability)


def weights_hash(module: Any) -> str:
    """Hash of a module's weights, as they are now."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().float().numpy().tobytes())
    return digest.hexdigest()[:16]


def content_hash(pairs: Pairs) -> str:
    """Hash of ids, captions, neutral captions, image ids and the images' fingerprint."""
    digest = hashlib.sha256(pairs.fingerprint.encode())
    for column in (pairs.ids, pairs.captions, pairs.neutral or (), pairs.image_ids or ()):
        for text in column:
            digest.update(text.encode("utf-8", "backslashreplace") + b"\0")
        digest.update(b"\1")
    return digest.hexdigest()[:16]


def _ramp(
    ramp: tuple[float, float] | Literal["released"], arm: Arm, steps: int, batch_size: int, rows: int
) -> tuple[Callable[[int], float], float]:
    """From step to probability, and the probability at the end."""
    if arm == "control":
        return _never, 0.0
    if isinstance(ramp, str):
        if ramp != "released":
            raise InputError(f"ramp={ramp!r}; expected two probabilities, or 'released'.")
        curve = released_ramp((steps + 1) * batch_size, rows, batch_size)
        return partial(_released, curve, batch_size), float(curve[steps * batch_size])
    start, end = ramp
    neutral_probability(0, steps, start, end)
    return partial(_linear, steps, start, end), float(end)


def _never(step: int) -> float:
    return 0.0


def _linear(steps: int, start: float, end: float, step: int) -> float:
    return neutral_probability(min(step, steps), steps, start, end)


def _released(curve: NDArray[np.float64], batch_size: int, step: int) -> float:
    return float(curve[min(step * batch_size, len(curve) - 1)])


@contextmanager
def restored(module: Any) -> Iterator[None]:
    """The module as it was, on leaving: the caller's model is the start of other arms too."""
    import torch

    before = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
    training = module.training
    module.eval()
    try:
        yield
    finally:
        with torch.no_grad():
            module.load_state_dict(before)
        module.zero_grad(set_to_none=True)
        module.train(training)
