"""The bars that the issue sets on captions written before the rules; of the held-back half only totals are seen."""

from fairvl.repair.captions import neutralize

MOST_ERRORS = 0.003


def rewritten(caption):
    return neutralize(caption).text


def test_the_gold_set_is_large_enough_and_half_of_it_is_held_back(gold):
    development, held = gold.read_gold()
    rows = [*development, *held]
    assert len(rows) >= 400
    assert sum(row.kind == "trap" for row in rows) >= 120
    assert abs(len(held) - len(development)) < 0.15 * len(rows)
    assert all(row.caption == row.expected for row in rows if row.kind == "trap")


def test_word_error_rate_and_traps(gold):
    untouched = [gold.score(half, lambda caption: caption) for half in gold.read_gold()]
    halves = [gold.score(half, rewritten) for half in gold.read_gold()]
    for before, after in zip(untouched, halves, strict=True):
        assert before.word_error_rate > 0.1  # power: there is much to change
        assert after.word_error_rate <= MOST_ERRORS, (after.errors, after.words)
        assert after.traps_changed == 0
        assert after.traps >= 50


def test_the_scorer_counts_insertions_deletions_and_substitutions(gold):
    assert gold.word_errors(["a", "b", "c"], ["a", "b", "c"]) == 0
    assert gold.word_errors(["a", "x", "c"], ["a", "b", "c"]) == 1
    assert gold.word_errors(["a", "c"], ["a", "b", "c"]) == 1
    assert gold.word_errors(["a", "b", "b", "c"], ["a", "b", "c"]) == 1
    assert gold.word_errors([], ["a", "b"]) == 2


def test_every_gold_caption_is_rewritten_once_and_restored(gold):
    for row in (row for half in gold.read_gold() for row in half):
        rewrite = neutralize(row.caption)
        assert rewrite.restore() == row.caption
        assert neutralize(rewrite.text).text == rewrite.text
        assert rewrite.changed == (rewrite.text != row.caption)
