"""Fine-tuning on a task: questions, retrieval, or sentences about two images, on the loop of pretraining."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atomic import require_writable, write_atomic
from ...errors import InputError
from ...fingerprints import canonical_json
from ...jobs import Optimisation, Share, train
from ...sources.fusion.scoring import take
from .batches import Batch, Batches, read_texts
from .checks import BLOCK, Check, above, check_learning, require_learning
from .draws import id_keys
from .images import KEEP, Images
from .models import bound_scale, trainable
from .pairs import Pairs
from .reasoning import ReasoningModel, new_head, state_width
from .run import CHECKS, MODEL, PretrainRun, chosen_objectives, content_hash, prepare, restored, split, weights_hash
from .tasks import ReasoningTask, VqaTask

Task = VqaTask | ReasoningTask | Pairs


def finetune(
    model: Any,
    task: Task,
    out: Path | str,
    *,
    steps: int,
    batch_size: int,
    held_out: float = 0.05,
    checks: bool = True,
    checkpoint_every: int = 500,
    workers: int = 2,
    keep: int = KEEP,
    seed: int = 0,
    **optimisation: Any,
) -> PretrainRun:
    """Fine-tune a fusion model on a task; resumable, and the same for any number of pieces and processes.

    * `VqaTask`: a fresh head over the task's answers, binary cross-entropy with the answers' soft scores, summed over
      answers (as LXMERT and VOLTA do). ``run.model.answer(images, questions)`` answers.
    * `Pairs`: retrieval, contrast and matching as far as the model has them, on the captions as they are.
    * `ReasoningTask`: each image is read with the sentence, a head joins the two. ``run.model.score(left, right,
      sentences)`` is the log-odds of "true".

    Parameters
    ----------
    model : FusionModel, or (for retrieval) Encoder
        As it was when this returns.
    task : VqaTask, Pairs or ReasoningTask
    out, steps, batch_size, held_out, checks, checkpoint_every, workers, keep, seed
        See `pretrain`.
    **optimisation
        Fields of `fairvl.jobs.Optimisation`: lr, final_lr, warmup, schedule, weight_decay, betas, clip, accumulate,
        precision, dropout.

    Raises
    ------
    TrainingError
        On held-out rows the model is no better than always giving the most frequent answer, by its 95 % interval.
    FusionError, InputError, ConfigMismatchError, JobError
    """
    folder = Path(out)
    require_writable(folder)
    unknown = sorted(optimisation.keys() - Optimisation.__dataclass_fields__.keys())
    if unknown:
        raise InputError(f"finetune has no option {', '.join(unknown)}; expected fields of Optimisation.")
    how = Optimisation(steps=steps, **optimisation)
    student = trainable(model)
    share = Share.of(student.module, how.precision, how.accumulate)
    if batch_size < how.accumulate * share.processes:
        raise InputError(f"batch_size={batch_size} in {how.accumulate} pieces of {share.processes} processes.")
    options = {
        "batch_size": batch_size, "held_out": held_out, "seed": seed, "workers": workers, "keep": keep, "checks": checks
    }  # fmt: skip
    plan = _retrieval(student, task, options) if isinstance(task, Pairs) else _task(student, task, options)
    config = {
        "task": type(task).__name__, "batch_size": batch_size, "held_out": held_out, "content": plan.content,
        "model": student.card.as_dict(), "weights": weights_hash(plan.module),
    }  # fmt: skip

    def finish(scratch: Path) -> Mapping[str, Any]:
        found = plan.check() if checks else []
        require_learning(found, str(folder / ".jobs" / "finetune"))
        plan.result.save(scratch / MODEL)
        facts = {"family": student.family, "checks": [check.as_dict() for check in found]}
        write_atomic(scratch / CHECKS, json.dumps(json.loads(canonical_json(facts)), indent=1) + "\n")
        return facts

    with restored(student.module), plan.images:
        run = train(
            plan.module, plan.learn, folder, optimisation=how, config=config, finish=finish, share=share, seed=seed,
            checkpoint_every=checkpoint_every, name="finetune", after=partial(bound_scale, plan.module),
        )  # fmt: skip
    found = tuple(Check(**check) for check in run.facts["checks"])
    return PretrainRun(folder, student.family, found, run.first, run.seconds_per_step)


@dataclass(frozen=True, eq=False)
class _Plan:
    """What `train` needs of a task: the module, its step, its check, and what is saved in the end."""

    module: Any
    learn: Any
    check: Any
    result: Any
    images: Images
    content: str


def _retrieval(student: Any, pairs: Pairs, options: Mapping[str, Any]) -> _Plan:
    training, test = split(pairs, options["held_out"], options["seed"])
    able = [name for name in ("itc", "itm") if name in student.card.capabilities]
    lesson = prepare(
        student, Pairs(pairs.ids, pairs.images, pairs.captions, None, pairs.image_ids, pairs.fingerprint), training,
        batch_size=options["batch_size"], seed=options["seed"], weights=chosen_objectives(student, able),
        contrast="batch", reading="plain", mask_rate=0.0, probability=lambda step: 0.0, workers=options["workers"],
        keep=options["keep"],
    )  # fmt: skip
    return _Plan(
        student.module, lesson.learn, lambda: check_learning(lesson, test, 0.0), student, lesson.images,
        content_hash(pairs),
    )  # fmt: skip


def _task(student: Any, task: VqaTask | ReasoningTask, options: Mapping[str, Any]) -> _Plan:
    """The plan of a task with one target row per text."""
    import torch

    twice = isinstance(task, ReasoningTask)
    texts = list(task.sentences) if isinstance(task, ReasoningTask) else list(task.questions)
    sources = [*task.left, *task.right] if isinstance(task, ReasoningTask) else list(task.images)
    keys = None if isinstance(task, ReasoningTask) else task.image_ids
    index = Pairs(task.ids, sources[: len(texts)], texts, None, keys, task.fingerprint)
    training, test = split(index, options["held_out"], options["seed"])
    rows = np.arange(len(texts))
    if keys is not None:
        number = {name: place for place, name in enumerate(dict.fromkeys(keys))}
        rows = np.array([number[name] for name in keys])
        sources = [sources[row] for row in np.unique(rows, return_index=True)[1]]
    names = [*task.ids, *task.ids] if twice else list(dict.fromkeys(keys or task.ids))
    result: Any
    if isinstance(task, ReasoningTask):
        head = new_head(state_width(student), options["seed"]).to(student.device)
        result, module = ReasoningModel(student, head), torch.nn.ModuleDict({"model": student.module, "head": head})
        targets = np.array(task.labels, dtype=np.float32)[:, None]
    else:
        result = student.with_answers(list(task.choices), options["seed"])
        module, targets = result.module, task.targets()
    held = Images(student, sources, names, workers=options["workers"], keep=options["keep"])
    table = read_texts(student, texts, texts)
    batches = Batches(table, id_keys(task.ids), rows, training, options["batch_size"], options["seed"], 0.0)
    lesson = _TaskLesson(result, batches, held, targets, twice)
    digest = hashlib.sha256(targets.tobytes())
    digest.update(json.dumps(list(getattr(task, "choices", ()))).encode())
    content = f"{content_hash(index)}-{digest.hexdigest()[:16]}"
    return _Plan(module, lesson.learn, lambda: lesson.check(test), result, held, content)


@dataclass(frozen=True, eq=False)
class _TaskLesson:
    """Answers to questions (targets ``[n, c]``, soft) or truth of sentences (targets ``[n, 1]``)."""

    model: Any
    batches: Batches
    images: Images
    targets: NDArray[np.float32]
    twice: bool

    def learn(self, step: int, share: Share) -> dict[str, Any]:
        import torch
        from torch.nn import functional

        batch = self.batches.batch(step, 0.0)
        self.images.ahead(self._numbers(self.batches.batch(step + 1, 0.0)))
        loss: Any = 0.0
        for piece in share.pieces(len(batch.rows)):
            with share.autocast():
                logits = self._logits(batch, piece).float()
                wanted = torch.from_numpy(self.targets[batch.rows[piece]]).to(logits.device)
                if self.twice:
                    part = functional.cross_entropy(logits, wanted[:, 0].long(), reduction="sum")
                else:
                    part = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
                part = part / len(batch.rows)
            share.backward(part)
            loss = loss + part.detach()
        return {"loss": loss}

    def check(self, rows: NDArray[np.int64]) -> list[Check]:
        """The score of what the model says on held-out rows, against the answer that is best for all of them."""
        import torch

        said = []
        with torch.no_grad():
            for start in range(0, len(rows), BLOCK):
                block = rows[start : start + BLOCK]
                found = self._logits(self.batches.of(block, -1, 0.0), slice(0, len(block)))
                said.append(found.float().argmax(1).cpu().numpy())
        targets = self.targets[rows]
        if self.twice:
            targets = np.concatenate([1 - targets, targets], axis=1)
        score = targets[np.arange(len(rows)), np.concatenate(said)]
        return [above("task", score.astype(float), targets[:, targets.sum(0).argmax()].astype(float))]

    def _numbers(self, batch: Batch) -> NDArray[np.int64]:
        here = self.batches.images[batch.rows]
        return np.concatenate([here, here + len(self.batches.images)]) if self.twice else here

    def _logits(self, batch: Batch, piece: slice) -> Any:
        import torch

        here, table = self.batches.images[batch.rows[piece]], self.batches.texts
        model = self.model.model if self.twice else self.model
        ids = torch.from_numpy(table.ids[batch.texts[piece]].astype(np.int64)).to(model.device)
        mask = torch.from_numpy(table.mask[batch.texts[piece]].astype(np.int64)).to(model.device)
        if self.twice:
            both = self.images.inputs(np.concatenate([here, here + len(self.batches.images)]))
            seen = model.see(both)
            first, second = torch.arange(len(here)), torch.arange(len(here), 2 * len(here))
            return self.model.logits(take(seen, first), take(seen, second), ids, mask)
        needed, place = np.unique(here, return_inverse=True)
        inputs = self.images.inputs(needed)
        rows = torch.from_numpy(place).to(model.device)
        return model.answer_logits(take(inputs, rows), ids, mask, seen=take(model.see(inputs), rows))
