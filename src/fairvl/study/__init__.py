"""What explains bias across a population of models: results of a sweep in, Findings out.

The model is the unit. `study` reads d per (model, test), joins covariates and downstream scores by model id, and
returns one table. Every row has `n`; a row without an interval says why in `note`. Free columns are those named after
"extra".

Columns that most rows share: extra `scope`, which tests the number is over: "social", "control" (kept apart) or "all"
(all tests together; the only scope when the results say no category); `order`, a modality order or empty for all
orders; `method`, how the interval was made.

==================== ==============================================================================================
metric               what it is; fixed columns beyond value, low, high, level, n; extra columns
==================== ==============================================================================================
variance_share       share of the variance between models' mean d that a factor explains, corrected for chance, not
                     below 0. n models; p (F test); p_adjusted (Holm over the factors of scope and kind). extra
                     `factor`, `kind` ("marginal": alone; "unique": beyond all other factors, type III), `rank`
                     (1 = largest within scope and kind), `partial` (share of what the other factors leave, unique
                     only), `raw` (before the cut at 0), `df`, `df_residual`, `f`, `p_permutation`
variance_component   variance of d between models, between tests, and left over. extra `component` ("model", "test",
                     "residual"; the paper's: "group variance", "scale"), `share`
contrast             level of a factor against the grand mean of levels, or against a chosen reference, in d. p,
                     p_adjusted (Holm over the levels of scope, factor and kind). extra `factor`, `level_name`,
                     `against` ("grand mean" or a level), `kind` ("marginal"; "adjusted": with the other factors
                     that can be told from it, named in `adjusted_for`),
                     `model_count` (of the level), `standard_error`, `df`, `estimator` ("closed form", "reml",
                     "cluster-robust"), `p_permutation`
coefficient          change of d per standard deviation of a numeric factor (params_m and dataset_size on the natural
                     log scale). extra as for contrast, and `term`. With estimator "paper": every term of the paper's
                     own mixed model, extra `converged`
filtering_contrast   filtered minus unfiltered models, in d. extra `kind` ("marginal", "adjusted", "within families"
                     pooled over families that hold both, "within family"), `level_name` (the family, or
                     "(all)"), `factor` ("filtering"), `model_count` (filtered), `unfiltered_count`, `p_permutation`
level_size           models at each level of a factor. extra `factor`, `level_name`
vif                  variance inflation of a level or numeric factor by the others. extra `factor`, `level_name` (empty:
                     the whole factor, as GVIF**(1/df)), `df`. No scope
model_mean           mean d of a model over tests, the caterpillar. model; n tests. extra `rank` (1 = largest),
                     `shrunken` (best linear prediction), and the model's factors by their column names
test_mean            mean d of a test over models, the funnel. order; n models. extra `test`, `topic`, `category`,
                     `stimuli` (targets of both sides, when known), `sd` (between models), `null_sd` (of d when labels
                     mean nothing), `positive` (share of models with d > 0)
order_mean           mean d of an order over models, topics weighing alike. extra `factor` ("order")
order_variance       variance of d between models in an order, mean over topics
order_mean_difference   order minus `versus`, the same models and shared topics. p (paired t); p_adjusted (Holm). extra
                     `versus`, `topics`
order_variance_ratio variance in order over variance in `versus`, the same models and shared topics; compare with 1
correlation          correlation over models of d with a downstream score, one cell (topic x order). n models; p;
                     p_adjusted (Holm over the cells of scope, kind and score). extra `topic` ("(all)": mean over the
                     scope's topics), `score`, `kind` ("pearson", "spearman", "partial"), `controls`, `p_bh`, `p_by`,
                     `fisher_low`, `fisher_high`
steiger              correlation of d with the score in `order` minus that in `versus`, the same models. p (Steiger's
                     Z), p_adjusted (Holm). extra `versus`, `score`, `statistic`, `p_williams`, `topics`
claim                a published aggregate checked against its cells; see `fairvl.study.claims`
warning              something the reader must know; value is how often it holds, `note` says it. extra `kind`
                     ("single-model level", "single-model reference", "collinear", "alphabetical reference",
                     "unbalanced", "missing covariate", "not estimable", "not converged"), `factor`, `level_name`
==================== ==============================================================================================

Settings of the table: `study` (schema version), `estimator`, `factors`, `reference`, `models`, `tests`, `balanced`,
`scores`, `controls`, `cluster`, `suite`, `suite_version`, `seed`, `draws`, `permutations`, `level`, `verb` ("study"),
and fingerprints of the inputs.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from ..findings import Findings
from .run import study
from .table import Results, ResultTable, read_results

__all__ = ["ResultTable", "read_results", "study"]


class _CallableModule(ModuleType):
    """`fairvl.study` is this package and also the verb; importing a submodule must not hide the verb."""

    def __call__(self, results: Results, **options: Any) -> Findings:
        return study(results, **options)


sys.modules[__name__].__class__ = _CallableModule
