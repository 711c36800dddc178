"""The permutation engine: how often would a random split into two groups differ as much as this one?

The statistic is the difference of two group means. Given the pooled values and the group sizes it is a
monotone function of the sum over the first group, so one count of subsets answers for means, sums and
for every effect size whose denominator a permutation leaves alone.

=============  ==========================================================  ===================================
method         what is counted                                             p is
=============  ==========================================================  ===================================
"enumerate"    every split, as rows of one matrix of 0 and 1               exact
"match"        every split, by pairing subsets of two halves (20 + 20)     exact
"lattice"      every split, after rounding values to a grid                inside the bracket [low, high]
"saddlepoint"  none: conditional double saddlepoint approximation          within about 1 %; thin tails exact
"sample"       random splits, shared by all rows                           (hits + 1) / (draws + 1)
=============  ==========================================================  ===================================

"auto" counts where it can and samples where it cannot; where fewer than 100 of the random splits are as extreme, so
that their count says little, the saddlepoint takes over. Ties count against significance, with a tolerance relative
to the values, because floating sums of the same numbers differ by their order. A p-value is never 0.
"""

from .engine import DRAWS as DRAWS
from .engine import EXACT_LIMIT as EXACT_LIMIT
from .engine import Method as Method
from .engine import bilinear_p as bilinear_p
from .engine import economical_methods as economical_methods
from .engine import is_countable as is_countable
from .engine import two_sample_p as two_sample_p
from .engine import two_sample_ps as two_sample_ps
from .exact import n_half_sums as n_half_sums
from .max_t import max_t as max_t
from .result import ENUMERATED as ENUMERATED
from .result import LATTICE as LATTICE
from .result import MATCHED as MATCHED
from .result import SADDLEPOINT as SADDLEPOINT
from .result import SAMPLED as SAMPLED
from .result import PermutationP as PermutationP
from .result import Tail as Tail
from .result import check_tail as check_tail
from .result import sampled_p as sampled_p
from .result import smallest_p as smallest_p
from .result import tie_tolerance as tie_tolerance
from .sampled import random_splits as random_splits
