"""Read, validate and convert corpora; choose transcripts; cut windows."""

from ragemo.corpus.check import CorpusReport, check_corpus
from ragemo.corpus.convert import convert_corpus
from ragemo.corpus.formats import FORMATS
from ragemo.corpus.read import read_corpus
from ragemo.corpus.transcripts import choose_transcripts
from ragemo.corpus.windows import cut_windows

__all__ = [
    "FORMATS",
    "CorpusReport",
    "check_corpus",
    "choose_transcripts",
    "convert_corpus",
    "cut_windows",
    "read_corpus",
]
