import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from ragemo.retrieval.embedding import word_tokens
from ragemo.retrieval.embedding.word_tokens import WordTokens

MOST = 12
PIECES = st.one_of(
    st.sampled_from(
        ["Don't", "you?!", "...", "$5", "naïve", "İstanbul", "你好吗", "e\u0301", "\u0301"]
    ),
    st.sampled_from(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[SEP", "[[CLS]]", "[sep]"]),
    st.sampled_from(["unbelievably", "x" * 120, "漢" * 20, "[CL\x00S]", "[unused0]"]),
    st.sampled_from(
        ["\t", "\n", "\x00", "\x1c", "\u2028", "\xa0", "\ufffd", "\u0903", "\U0001f602"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
)
TEXTS = st.lists(st.tuples(PIECES, st.sampled_from(["", " ", "  "])), max_size=14).map(
    lambda parts: "".join(part for pair in parts for part in pair)
)


@pytest.fixture(scope="module")
def tokenizer(minilm_folder):
    tokenizer = Tokenizer.from_file(str(minilm_folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MOST)
    return tokenizer


@given(texts=st.lists(TEXTS, max_size=4))
def test_tokens_are_those_of_the_tokeniser(tokenizer, texts):
    expected = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    assert WordTokens(tokenizer, MOST).encode(texts) == expected


def test_a_word_is_cut_once(tokenizer):
    class Counting:
        words = 0

        def __getattr__(self, name):
            return getattr(tokenizer, name)

        def encode_batch_fast(self, words, **how):
            self.words += len(words)
            return tokenizer.encode_batch_fast(words, **how)

    counting = Counting()
    tokens = WordTokens(counting, MOST)
    first = tokens.encode(["oh no, no no", "oh"])
    assert counting.words == len({"oh", "no", ","})
    assert tokens.encode(["oh no, no no", "oh"]) == first
    assert counting.words == 3


def test_no_more_words_are_kept_than_are_worth_it(tokenizer, monkeypatch):
    monkeypatch.setattr(word_tokens, "KEPT_CHARACTERS", 8)
    tokens = WordTokens(tokenizer, MOST)
    texts = ["one two", "three four", "five", "one five"]
    expected = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    assert [one for text in texts for one in tokens.encode([text])] == expected
    assert len(tokens._known) <= 3


def test_half_a_pair_of_surrogates_is_refused_as_by_the_tokeniser(tokenizer):
    tokens = WordTokens(tokenizer, MOST)
    with pytest.raises(TypeError):
        tokens.encode(["so \ud83d what"])
    assert tokens.encode(["so what"]) == [tokenizer.encode("so what").ids]
