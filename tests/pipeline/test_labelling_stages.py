"""The first stage embeds all that the second one needs; both on a cluster: `test_cluster`."""

from dataclasses import replace

import pytest

from ragemo.corpus.stream import CorpusStream
from ragemo.errors import IndexFolderError
from ragemo.pipeline.cluster.labelling import GivenVectors, Listener, labelled
from ragemo.pipeline.streaming import numbered, predict_stream
from tests.conftest import LABELS, FakeEmbedder
from tests.pipeline.blockwise import CASES, EMBEDDER, INDEX, check_same_run, put, settings_of


def parts_in_stages(labeller, corpus, numbers):
    """By a listener without an index, and a labeller without an embedder."""
    listener = Listener.of(labeller)
    deaf = replace(labeller, embedder=GivenVectors(EMBEDDER.identity, EMBEDDER.dimension))
    for number, block in numbered(corpus, labeller.outline.size, numbers):
        yield number, labelled(deaf, number, listener.heard(number, block))


@pytest.mark.parametrize("case", CASES)
def test_two_stages_make_what_one_does(tmp_path, case):
    check_same_run(tmp_path, CASES[case], parts_in_stages)


def test_a_machine_with_another_embedder_is_refused(tmp_path):
    stream = CorpusStream(put(tmp_path / "a.jsonl", CASES["fresh"][0]), LABELS)
    another = FakeEmbedder()
    another.identity = EMBEDDER.identity | {"weights": "others"}

    def parts(labeller, corpus, numbers):
        listener = replace(Listener.of(labeller), embedder=another)
        yield 0, listener.heard(0, next(corpus.blocks(10)))

    with pytest.raises(IndexFolderError, match="weights 'others'"):
        predict_stream(
            stream,
            settings_of(),
            tmp_path / "run",
            index=INDEX,
            embedder=EMBEDDER,
            make_parts=parts,
        )
