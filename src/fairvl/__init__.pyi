"""What type checkers see: every public name with its home (`__init__.py` loads them when asked for)."""

__version__: str

from .errors import FairVLError as FairVLError
from .findings import Finding as Finding
from .findings import Findings as Findings
from .measure.audit import audit as audit
from .measure.audit import audit_images as audit_images
from .repair.captions import captions as captions
from .repair.captions import neutralize as neutralize
from .repair.classifier import train_classifier as train_classifier
from .repair.debias import LinearOperator as LinearOperator
from .repair.debias import Operator as Operator
from .repair.debias import apply as apply
from .repair.debias import bake as bake
from .repair.debias import compare_methods as compare_methods
from .repair.debias import debias as debias
from .repair.dedup import dedup as dedup
from .repair.editing.augment import augment as augment
from .repair.pretraining import finetune as finetune
from .repair.pretraining import pretrain as pretrain
from .report import check as check
from .report import report as report
from .reproduce.demos import demo as demo
from .sources.captions import caption_group as caption_group
from .sources.datasets import load_dataset as load_dataset
from .sources.embed import embed as embed
from .sources.encoders import EncoderCard as EncoderCard
from .sources.encoders import encoder as encoder
from .sources.encoders import load_encoder as load_encoder
from .sources.fusion import load_fusion as load_fusion
from .sources.generators import generate as generate
from .sources.generators import load_generator as load_generator
from .sources.prompts import load_bank as load_bank
from .sources.stimuli import load_registry as load_registry
from .sources.store import EmbeddingStore as EmbeddingStore
from .study import study as study
from .study.sweep import sweep as sweep
