"""Embedding association tests: is one set of things closer to pleasant words than another?

Two *target sets* X and Y (flowers, insects; women, men) are compared by their *association* with two
*attribute sets* A and B (pleasant, unpleasant): ``s(w) = mean_a cos(w, a) - mean_b cos(w, b)``. The
effect size is the difference of the mean associations of X and Y in standard deviations of s over both
target sets together. Vectors may come from words, sentences or images of one encoder, in any mix.

Conventions (`preset=`):

=============  =======  ====================================  ==================================================
preset         SD       permuted                              p
=============  =======  ====================================  ==================================================
None           ddof 1   targets, attributes or both           exact where feasible, else (hits + 1) / (draws + 1);
                                                              a saddlepoint where few draws are as extreme
"sent-bias"    ddof 1   targets, equal sizes only             >=; exact up to 100,000 splits, else (hits + 1) / draws
"ieat"         ddof 1   targets, equal sizes only             the same, up to 10,000 splits
"wefe"         ddof 0   targets, drawn *with replacement*     strict >, (hits + 1) / (draws + 1); its "two-sided"
                                                              compares with the signed score
"ml-eat"       ddof 1   associations                          the smaller tail of a normal fitted to 1,000 splits
=============  =======  ====================================  ==================================================

Everything is computed in float64 from raw vectors of any float dtype. Undefined values are NaN with a
note; unusable input raises InputError.
"""

from .influence import Influence as Influence
from .influence import influence as influence
from .levels import Multilevel as Multilevel
from .levels import multilevel as multilevel
from .population import Cosines as Cosines
from .population import PopulationResult as PopulationResult
from .population import max_t as max_t
from .population import population_influence as population_influence
from .population import population_tests as population_tests
from .result import AssociationResult as AssociationResult
from .result import Comparison as Comparison
from .single_category import single_category_test as single_category_test
from .single_category import st_eat as st_eat
from .targets import association_test as association_test
from .targets import associations as associations
from .targets import compare_associations as compare_associations
from .targets import effect_size as effect_size
from .targets import effect_size_replicates as effect_size_replicates
from .targets import raw_score as raw_score
