"""The words of a study: what each of its metrics is called and what it means. Shown like the others, but about models.

Each entry: label, kind, where a fair result lies, explanation.
"""

from __future__ import annotations

STUDY: dict[str, tuple[str, str, str, str]] = {
    "variance_share": (
        "Share of variance explained",
        "share",
        "",
        "How much of the variance between the models’ mean effect sizes goes with one factor, corrected for what a "
        "factor of as many levels explains by chance (adjusted), and not below 0. Alone: the factor by itself. Beyond"
        " the others: what it adds to all other factors. The model is the unit; the interval is that of the share.",
    ),
    "variance_component": (
        "Variance component",
        "plain",
        "",
        "The variance of d split into three: between models, between tests, and what is left over.",
    ),
    "contrast": (
        "Contrast of a level",
        "plain",
        "zero",
        "How far the models at one level of a factor lie from the grand mean of the levels (or from a stated "
        "reference), in units of d. Adjusted means with all other factors in the model. A level with a single model "
        "cannot be told from that model.",
    ),
    "coefficient": (
        "Slope of a numeric factor",
        "plain",
        "zero",
        "The change of d per standard deviation of the factor over the models (parameters and dataset size on the "
        "natural logarithmic scale).",
    ),
    "filtering_contrast": (
        "Filtered minus unfiltered",
        "plain",
        "zero",
        "Mean d of models whose training data were filtered by a score or a model, minus that of models whose data "
        "were not. Within families compares only models whose data come from the same pool.",
    ),
    "level_size": ("Models at a level", "plain", "", "How many models a level of a factor rests on."),
    "vif": (
        "Variance inflation",
        "plain",
        "low",
        "How much wider an interval becomes because other factors vary together with this one; 1 is no inflation. For"
        " a whole factor it is the generalised factor per degree of freedom.",
    ),
    "model_mean": (
        "Mean d of a model",
        "plain",
        "zero",
        "The model’s mean effect size over the tests. Its interval takes the tests as they are: it says how surely "
        "two models differ on these tests.",
    ),
    "test_mean": (
        "Mean d of a test",
        "plain",
        "zero",
        "The test’s mean effect size over the models, with an interval over models.",
    ),
    "order_mean": (
        "Mean d by modality order",
        "plain",
        "zero",
        "Mean effect size of an order over models, every topic weighing alike.",
    ),
    "order_variance": (
        "Variance by modality order",
        "plain",
        "",
        "Variance of d between models in an order, the mean over topics.",
    ),
    "order_mean_difference": (
        "Difference between orders",
        "plain",
        "zero",
        "Mean d of one order minus that of another, over the same models and the topics that both have.",
    ),
    "order_variance_ratio": (
        "Ratio of variances between orders",
        "plain",
        "",
        "Variance between models in one order over that in another, the same models and topics; 1 is no difference.",
    ),
    "correlation": (
        "Correlation with performance",
        "plain",
        "zero",
        "Correlation over models between d and a downstream score, one cell per topic and order. n counts models, not"
        " rows. Partial correlations hold the named factors fixed.",
    ),
    "steiger": (
        "Difference between two orders’ correlations",
        "plain",
        "zero",
        "The correlation of d with the score in one order minus that in another. Both are measured on the same "
        "models, and Steiger’s test allows for it.",
    ),
    "claim": (
        "Published number, recomputed",
        "plain",
        "",
        "A number printed in a publication, recomputed from the cells that were printed with it. No sampling error is"
        " involved: it is arithmetic on printed numbers.",
    ),
    "warning": (
        "Warning",
        "plain",
        "",
        "Something about the design that a reader must know before believing a number.",
    ),
}
