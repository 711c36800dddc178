"""Continued pretraining on neutral captions, fine-tuning on tasks: one loop, every family, losses that do not depend on
workers, pieces or processes, and a loud failure where nothing was learned."""

from .checks import Check as Check
from .pairs import Pairs as Pairs
from .pairs import read_pairs as read_pairs
from .ramp import neutral_probability as neutral_probability
from .ramp import released_ramp as released_ramp
from .run import PretrainRun as PretrainRun
from .run import pretrain as pretrain

__all__ = ["Check", "Pairs", "PretrainRun", "neutral_probability", "pretrain", "read_pairs", "released_ramp"]
