"""Tasks that models of image and text are fine-tuned on, and what they do to groups.

Every task gives one score per row (`vqa_soft_accuracy`, `exact_match`, `nlvr2_accuracy`, `caption_retrieval_hits`);
`fairvl.measure.groups.disaggregate_scores` and `compare_scores` turn scores into values per group, their range, and
changes on the same resamples. The group of a question or sentence is `fairvl.sources.captions.caption_group`; the one
of an image with several captions `image_group`. `masked_person_test` reads a model before fine-tuning,
`answer_amplification` after it, `neutral_query_shares` and `naming_errors` what it retrieves and says.

This part composes other parts of `measure` (retrieval, groups, amplification) and stands above them.
"""

from __future__ import annotations

from .answers import answer_columns as answer_columns
from .answers import answer_set as answer_set
from .answers import exact_match as exact_match
from .answers import normalise_answer as normalise_answer
from .answers import vqa_soft_accuracy as vqa_soft_accuracy
from .captioned import CaptionHits as CaptionHits
from .captioned import NeutralShares as NeutralShares
from .captioned import caption_retrieval_hits as caption_retrieval_hits
from .captioned import neutral_query_shares as neutral_query_shares
from .joining import join_rows as join_rows
from .masked import MaskedPerson as MaskedPerson
from .masked import masked_person_test as masked_person_test
from .masked import piece_sums as piece_sums
from .naming import Naming as Naming
from .naming import naming_errors as naming_errors
from .nouns import noun_columns as noun_columns
from .nouns import top_nouns as top_nouns
from .question_bias import AnswerAmplification as AnswerAmplification
from .question_bias import answer_amplification as answer_amplification
from .reasoning import Consistency as Consistency
from .reasoning import nlvr2_accuracy as nlvr2_accuracy
from .reasoning import nlvr2_consistency as nlvr2_consistency

__all__ = [
    "AnswerAmplification",
    "CaptionHits",
    "Consistency",
    "MaskedPerson",
    "Naming",
    "NeutralShares",
    "answer_amplification",
    "answer_columns",
    "answer_set",
    "caption_retrieval_hits",
    "exact_match",
    "join_rows",
    "masked_person_test",
    "naming_errors",
    "neutral_query_shares",
    "nlvr2_accuracy",
    "nlvr2_consistency",
    "normalise_answer",
    "noun_columns",
    "piece_sums",
    "top_nouns",
    "vqa_soft_accuracy",
]
