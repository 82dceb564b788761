"""The chosen transcript: one of the given ones, by rules that hold for any text."""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import mean

import jiwer
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein
from sacrebleu.metrics import CHRF, TER

from ragemo.corpus import consensus, transcripts
from ragemo.corpus.consensus import METRICS, consensus_scores
from ragemo.corpus.transcripts import Transcript, choose_transcripts, strategy_names
from ragemo.corpus.words import fold
from ragemo.errors import SettingsError
from ragemo.types import Utterance

NAMES = strategy_names()
CHOOSING = [name for name in NAMES if name != "rover"]  # which may compose a text of its own

WORDS = st.sampled_from(["yes", "No!", "I", "don't", "dont", "i", "well,", "Well", "know", "..."])
SPEECH = st.lists(WORDS, max_size=6).map(" ".join)
TEXTS = st.one_of(SPEECH, st.text(max_size=12), st.sampled_from(["", " ", "\t\n", "?!", "😀"]))
SYSTEMS = st.sampled_from(["hubertlarge", "w2v2100", "wavlmplus", "whisperbase", "whispertiny"])
HYPOTHESES = st.dictionaries(SYSTEMS, TEXTS, max_size=5)


def utterance(hypotheses, name="u1", reference=None):
    return Utterance(name, "d1", 0, "A", hypotheses, reference=reference)


def choose(hypotheses, strategy, seed=0, name="u1"):
    [transcript] = choose_transcripts([utterance(hypotheses, name)], strategy, seed=seed)
    return transcript


@pytest.mark.parametrize("strategy", CHOOSING)
@settings(max_examples=60, deadline=None)
@given(hypotheses=HYPOTHESES, data=st.data())
def test_any_hypotheses(strategy, hypotheses, data):
    chosen = choose(hypotheses, strategy)
    spoken = {system: text for system, text in hypotheses.items() if text.strip()}
    if spoken:
        assert spoken[chosen.source] == chosen.text
    else:
        assert chosen == Transcript("", "")

    shuffled = dict(data.draw(st.permutations(list(hypotheses.items()))))
    assert choose(shuffled, strategy) == chosen
    for silent in ("a silent system", "zz"):
        assert choose({**hypotheses, silent: " \n"}, strategy) == chosen


@pytest.mark.parametrize("strategy", CHOOSING)
@given(text=TEXTS.filter(str.strip))
def test_one_hypothesis_is_taken_and_copies_agree(strategy, text):
    assert choose({"whisperbase": text, "w2v2100": ""}, strategy) == Transcript(text, "whisperbase")
    copies = choose(dict.fromkeys(["c", "b", "a"], text), strategy)
    assert copies.text == text
    assert copies.source == "a" or strategy == "random"


@pytest.mark.parametrize("strategy", CHOOSING)
@pytest.mark.parametrize(
    "texts",
    [
        ["...", "?!", "—"],
        ["😀😀", "😀", "👩‍👩‍👧 👍🏽"],
        ["שלום עולם", "\u200fשלום, עולם!", "مرحبا بالعالم"],
        ["नमस्ते दुनिया", "นมัสการ", "你好，世界"],
        ["\ud800", "\x00", "\u200b"],
        ["word " * 3000, "word " * 2999 + "end.", "short"],
        ["a", "b " * 400, "c"],
    ],
    ids=["punctuation", "emoji", "right to left", "scripts", "broken", "long", "lopsided"],
)
def test_unusual_text_is_chosen_unchanged(strategy, texts):
    hypotheses = dict(zip("abc", texts, strict=True))
    chosen = choose(hypotheses, strategy)
    assert hypotheses[chosen.source] == chosen.text


def test_importing_is_fast():
    heavy = {"numpy", "pydantic", "rapidfuzz", "sacrebleu", "jiwer", "yaml"}
    code = f"import sys, ragemo.corpus.windows; sys.exit(str({heavy} & set(sys.modules) or ''))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=False
        ).stderr.strip()
        == b""
    )


def test_every_strategy_is_in_the_table_of_the_documentation():
    table = [line.split()[0] for line in transcripts.__doc__.splitlines() if line.startswith("   ")]
    assert table[1:] == NAMES


CASES = {
    "longest": "whispersmall",
    "shortest": "w2v2100",
    "most-punctuation": "whisperbase",
    "least-punctuation": "hubertlarge",
    "longest-most-punctuation": "whispersmall",
    "longest-least-punctuation": "hubertlarge",
    "shortest-most-punctuation": "whisperbase",
    "shortest-least-punctuation": "w2v2100",
}


@pytest.mark.parametrize(("strategy", "system"), CASES.items())
def test_heuristics(strategy, system):
    hypotheses = {
        "whisperbase": "I'm... no!",  # 10 characters, 4 of them punctuation
        "w2v2100": "i'm not oh",  # 10 characters; the apostrophe spells a word
        "whispersmall": "I am not so.",  # 12 characters, 1 of them punctuation
        "hubertlarge": "i am not sow",  # 12 characters
    }
    if strategy == "longest":  # of two equals the first by name
        hypotheses["hubertlarge"] = "i am"
    if strategy == "shortest":
        hypotheses["whisperbase"] = "I'm... not really!"
    if strategy == "least-punctuation":
        hypotheses["w2v2100"] = "i'm not, oh"
    assert choose(hypotheses, strategy).source == system


def test_surrounding_space_adds_no_length():
    assert choose({"a": "short      ", "b": "longer"}, "longest").text == "longer"


def test_apostrophes_are_no_punctuation():
    assert choose({"a": "don't you", "b": "Oh, you"}, "most-punctuation").source == "b"


def test_random_depends_on_seed_and_utterance_and_reaches_every_system():
    hypotheses = {"a": "one", "b": "two", "c": "three"}

    def draws(seed):
        return [choose(hypotheses, "random", seed, f"u{n}").source for n in range(60)]

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)
    assert set(draws(1)) == set(hypotheses)
    # The same in every process, which Python's own hash is not.
    assert "".join(draws(0)[:12]) == "cbaabcbacaaa"


def test_random_takes_ids_that_are_no_valid_unicode():
    assert choose({"a": "one", "b": "two"}, "random", name="\ud800").source in {"a", "b"}


def test_random_does_not_depend_on_the_other_utterances():
    utterances = [utterance({"a": "one", "b": "two"}, f"u{n}") for n in range(20)]
    forward = choose_transcripts(utterances, "random", seed=3)
    assert choose_transcripts(utterances[::-1], "random", seed=3) == forward[::-1]


def test_system_by_name():
    hypotheses = {"whisperbase": "Yes.", "w2v2100": "  "}
    assert choose(hypotheses, "whisperbase") == Transcript("Yes.", "whisperbase")
    # Asked for, so taken as it is: silent.
    assert choose(hypotheses, "w2v2100") == Transcript("", "w2v2100")
    both = choose_transcripts(
        [utterance({"w2v2100": "no"}), utterance({"w2v2100": "no", "extra": "No."})], "extra"
    )
    assert both == [Transcript("", "extra"), Transcript("No.", "extra")]
    assert choose({"whisperbase": "", "w2v2100": " "}, "whisperbase") == Transcript("", "")


def test_unknown_name_lists_what_there_is():
    with pytest.raises(SettingsError) as error:
        choose({"whisperbase": "Yes.", "hubertlarge": "yes"}, "whisperhuge")
    message = str(error.value)
    assert "'whisperhuge'" in message
    assert "hubertlarge, whisperbase" in message
    assert all(name in message for name in [*NAMES, "reference"])


def test_strategy_names_win_over_system_names():
    hypotheses = {"longest": "one", "reference": "two", "other": "the long one"}
    assert choose(hypotheses, "longest").source == "other"
    with pytest.raises(SettingsError):
        choose(hypotheses, "reference")


def test_reference_only_when_asked_for():
    heard = utterance({"whisperbase": "Yes.", "w2v2100": "yes"}, reference="The human words")
    assert choose_transcripts([heard], "reference") == [Transcript("The human words", "reference")]
    for strategy in [*NAMES, "whisperbase"]:
        assert choose_transcripts([heard], strategy)[0].text in heard.hypotheses.values()
    with pytest.raises(SettingsError, match="'u7' has no reference"):
        choose_transcripts([heard, utterance({"whisperbase": "No."}, "u7")], "reference")
    with pytest.raises(SettingsError, match="'Reference'"):
        choose_transcripts([heard], "Reference")


@pytest.mark.parametrize("strategy", [name for name in NAMES if name.startswith("consensus")])
def test_consensus_takes_what_most_systems_heard(strategy):
    hypotheses = {
        "a": "the cat sat on the hat",
        "b": "the cat sat on the mat",
        "c": "The cat sat on the mat.",
        "d": "cat sad on them at",
        "e": "...",
    }
    # b and c are equal but for style; the more punctuated one is taken.
    assert choose(hypotheses, strategy) == Transcript("The cat sat on the mat.", "c")


def test_consensus_is_no_contest_of_style():
    hypotheses = {
        "w2v2100": "i really do not know",
        "w2v2960": "i really do not now",
        "whisperbase": "I, really? Do NOT know!",
    }
    assert choose(hypotheses, "consensus-wer").source == "whisperbase"


@pytest.mark.parametrize("strategy", [name for name in NAMES if name.startswith("consensus")])
def test_wordless_text_never_wins_against_words(strategy):
    # Error rates against "..." as the reference would grow with every word.
    hypotheses = {"a": "...", "b": "i am quite fine today", "c": "i am quite find to day"}
    assert choose(hypotheses, strategy).source != "a"
    assert choose({"a": "?!", "b": "...", "c": "..."}, strategy).text == "..."
    assert choose({"a": "👍", "b": "❤️", "c": "❤️"}, strategy).text == "❤️"


def test_ties_on_words_are_broken_by_characters():
    hypotheses = {"a": "xylophone", "b": "house", "c": "mouse"}
    assert choose(hypotheses, "consensus-wer").source == "b"


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("  I’m  NOT well-known...\n(Oh!)", "im not well known oh"),
        ("Straße, ÉTÉ", "strasse été"),
        ("नमस्ते, दुनिया!", "नमस्ते दुनिया"),
        ("\u200fשלום!", "שלום"),
        ("♪ ❤️ $", ""),
    ],
)
def test_fold(text, folded):
    assert fold(text) == folded


CHRF2 = CHRF()
CHRF2_PLUS_PLUS = CHRF(word_order=2)
TRANSLATION_EDIT_RATE = TER()
ORACLES = {
    "wer": lambda h, r: jiwer.wer(r, h),
    "mer": lambda h, r: jiwer.mer(r, h),
    "wil": lambda h, r: jiwer.wil(r, h),
    "cer": lambda h, r: jiwer.cer(r, h),
    "ter": lambda h, r: TRANSLATION_EDIT_RATE.sentence_score(h, [r]).score,
    "chrf": lambda h, r: CHRF2.sentence_score(h, [r]).score,
    "chrf++": lambda h, r: CHRF2_PLUS_PLUS.sentence_score(h, [r]).score,
    "ratio": Levenshtein.normalized_similarity,
}

LONG = [f"w{n}" for n in range(70)]
SPOKEN = st.lists(
    st.sampled_from(["a", "b", "ab", "ba", "abc", "cab", "the"]), min_size=1, max_size=40
)


@st.composite
def rival_texts(draw):
    """Texts as recognisers give them: some alike, some with moved phrases, some apart."""
    first = draw(SPOKEN)
    cut = draw(st.integers(0, len(first)))
    texts = [first, draw(SPOKEN), first[cut:] + first[:cut]]
    texts += [draw(st.sampled_from(texts))] * draw(st.integers(0, 2))
    return [" ".join(words) for words in texts]


def assert_equal_to_the_published_tools(texts, metric):
    expected = [
        sum(ORACLES[metric](own, other) for i, other in enumerate(texts) if i != k)
        for k, own in enumerate(texts)
    ]
    assert consensus_scores(texts, metric) == pytest.approx(expected, abs=1e-9, rel=0)


@pytest.mark.parametrize("metric", ORACLES)
@settings(max_examples=40, deadline=None)
@given(texts=rival_texts())
@example(texts=["a b c d e f g h", "e f g h a b c d", "h g f e d c b a"])
@example(texts=["a", " ".join(LONG), "b a"])
@example(texts=[" ".join(LONG[35:]), " ".join(LONG), " ".join(LONG[10:] + LONG[:10])])
def test_scores_of_speech_equal_the_published_tools(metric, texts):
    assert_equal_to_the_published_tools(texts, metric)


@pytest.mark.parametrize("metric", ORACLES)
@settings(deadline=None)
@given(texts=st.lists(st.text(max_size=40).map(fold).filter(bool), min_size=1, max_size=4))
def test_scores_of_any_text_equal_the_published_tools(metric, texts):
    assert_equal_to_the_published_tools(texts, metric)


def test_every_metric_is_compared_with_its_tool():
    assert set(ORACLES) == set(METRICS)
    assert consensus.HIGHEST_WINS.issubset(METRICS)


@pytest.mark.parametrize("metric", ["wer", "cer", "ter"])
def test_what_systems_heard_alike_is_compared_once(monkeypatch, metric):
    compared = []
    distance = Levenshtein.distance
    monkeypatch.setattr(
        Levenshtein, "distance", lambda *pair: compared.append(pair) or distance(*pair)
    )
    consensus_scores(["so it is"] * 9 + ["so it was"] * 9 + ["so"], metric)
    assert len(compared) == 3 + 3  # each of three with each, and with itself


def heard_corpus(name):
    folder = os.environ.get("RAGEMO_DATA")
    if folder is None:
        pytest.skip("RAGEMO_DATA is not set; it names the folder of the development corpora")
    path = Path(folder) / "meld_asr" / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    systems = ("pocketsphinx", "whisperbase", "whispertiny")
    rows = json.loads(path.read_text(encoding="utf-8"))
    return [utterance({s: row[s] for s in systems}, row["id"], row["groundtruth"]) for row in rows]


def test_consensus_beats_the_best_single_system_on_real_recognition():
    utterances = [u for u in heard_corpus("train.json") if fold(u.reference)]

    def error_rate(strategy):
        chosen = choose_transcripts(utterances, strategy)
        return mean(
            jiwer.wer(fold(u.reference), fold(transcript.text))
            for u, transcript in zip(utterances, chosen, strict=True)
        )

    best = min(error_rate(system) for system in utterances[0].hypotheses)
    for metric in ("wer", "mer", "wil", "ratio"):
        assert error_rate(f"consensus-{metric}") < best - 0.02
    assert error_rate("rover") < error_rate("consensus-ratio")
