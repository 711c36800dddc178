"""Continued pretraining on neutral captions, fine-tuning on tasks: one loop, every family, losses that do not depend on
workers, pieces or processes, and a loud failure where nothing was learned."""

from .checks import Check as Check
from .finetuning import finetune as finetune
from .pairs import Pairs as Pairs
from .pairs import read_pairs as read_pairs
from .ramp import neutral_probability as neutral_probability
from .ramp import released_ramp as released_ramp
from .run import PretrainRun as PretrainRun
from .run import pretrain as pretrain
from .tasks import ReasoningTask as ReasoningTask
from .tasks import VqaTask as VqaTask
from .tasks import reasoning_task as reasoning_task
from .tasks import vqa_task as vqa_task

__all__ = [
    "Check",
    "Pairs",
    "PretrainRun",
    "ReasoningTask",
    "VqaTask",
    "finetune",
    "neutral_probability",
    "pretrain",
    "read_pairs",
    "reasoning_task",
    "released_ramp",
    "vqa_task",
]
