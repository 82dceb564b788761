"""Batches of texts that come in blocks."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ragemo.retrieval.embedding.token_batches import BATCH_TOKENS, TokenBatches

LENGTHS = st.lists(
    st.tuples(st.sampled_from([3, 7, 40, 100, 128, 200, 256, 400]), st.integers(1, 150)),
    max_size=8,
).map(lambda runs: [length for length, times in runs for _ in range(times)])
"""Of texts, in tokens."""


def gathered(texts, cuts):
    """The batches of texts that come in blocks, cut at these places."""
    batches = TokenBatches()
    ends = sorted({0, *cuts, len(texts)})
    full = [one for start, end in pairwise(ends) for one in batches.add(start, texts[start:end])]
    rest = batches.rest()
    assert batches.rest() == []
    return full, rest


@given(LENGTHS, st.data())
def test_blocks_make_the_batches_that_all_texts_at_once_would_make(lengths, data):
    texts = [[row] * length for row, length in enumerate(lengths)]
    cuts = data.draw(st.sets(st.integers(0, len(texts)), max_size=5))
    full, rest = gathered(texts, cuts)
    whole = [one.rows.tolist() for some in gathered(texts, ()) for one in some]
    assert [one.rows.tolist() for one in full + rest] == whole
    found = {row: ids for one in full + rest for row, ids in zip(one.rows, one.tokens, strict=True)}
    assert sum(len(one.rows) for one in full + rest) == len(texts) == len(found)
    assert all(found[row].tolist() == ids for row, ids in enumerate(texts))


@given(LENGTHS)
def test_a_full_batch_has_room_for_no_other_text_and_a_text_that_is_too_long_is_alone(lengths):
    full, rest = gathered([[1] * length for length in lengths], ())
    for batch in full:
        count, length = batch.tokens.shape
        assert (count + 1) * length > BATCH_TOKENS
        assert count == 1 or count * length <= BATCH_TOKENS
    assert all(one.tokens.size + one.tokens.shape[1] <= BATCH_TOKENS for one in rest)
    longest_first = [one.tokens.shape[1] for one in rest]
    assert longest_first == sorted(set(longest_first), reverse=True)
