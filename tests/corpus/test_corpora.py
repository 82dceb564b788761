"""The real corpora, where a folder of them is at hand (`RAGEMO_DATA`)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ragemo.corpus import check_corpus, convert_corpus, read_corpus

FOLDER = Path(os.environ.get("RAGEMO_DATA", ""))

COUNTS = {
    # file: (format, dialogues, utterances, to predict, hypotheses)
    "meld/train_sent_emo.csv": ("meld", 1038, 9989, 9989, ["text"]),
    "meld/dev_sent_emo.csv": ("meld", 114, 1109, 1109, ["text"]),
    "emorynlp/emorynlp_train_final.csv": ("emorynlp", 659, 7551, 7551, ["text"]),
    "emorynlp/emorynlp_dev_final.csv": ("emorynlp", 89, 954, 954, ["text"]),
    "topicalchat_asr/test_freq_audio.json": ("topicalchat", 40, 880, 880, ["asr_A", "asr_B"]),
    "meld_asr/train.json": (
        "gensec", 182, 1799, 1461, ["pocketsphinx", "whisperbase", "whispertiny"],
    ),
    "meld_asr/dev.json": (
        "gensec", 114, 1109, 897, ["pocketsphinx", "whisperbase", "whispertiny"],
    ),
}  # fmt: skip


def corpus_file(name: str) -> Path:
    if "RAGEMO_DATA" not in os.environ:
        pytest.skip("RAGEMO_DATA is not set: it names the folder of the corpora")
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return path


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name):
    report = check_corpus(corpus_file(name))
    assert report.problems == ()
    assert (
        report.format,
        report.dialogues,
        report.utterances,
        report.to_predict,
        sorted(report.systems),
    ) == COUNTS[name]
    assert sum(report.labels.values()) == report.utterances


@pytest.mark.parametrize("name", COUNTS)
def test_own_format_and_plain_hold_everything(tmp_path, name):
    path = corpus_file(name)
    corpus = read_corpus(path)
    for format_name, file in ((corpus.format, path.name), ("plain", "x.jsonl"), ("plain", "x.csv")):
        assert convert_corpus(corpus, tmp_path / file, format_name) == []
        again = read_corpus(tmp_path / file, labels=corpus.labels)
        assert again.utterances == corpus.utterances
        assert again.format == format_name


def test_meld_train_has_a_gap():
    corpus = read_corpus(corpus_file("meld/train_sent_emo.csv"))
    assert "dia60" not in {dialogue.id for dialogue in corpus.dialogues}
    gaps = sum(
        [u.turn for u in dialogue.utterances] != list(range(len(dialogue.utterances)))
        for dialogue in corpus.dialogues
    )
    assert gaps == 72
