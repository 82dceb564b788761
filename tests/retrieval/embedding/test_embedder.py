import json
import random
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragemo.errors import ModelError, SettingsError
from ragemo.models import MINILM, model_folder
from ragemo.retrieval.embedding.embedder import (
    MAX_TOKENS,
    PRECISIONS,
    OnnxEmbedder,
    SentenceTransformerEmbedder,
    load_embedder,
    load_index_embedder,
)

TEXTS = [
    "I can't believe you did that!",
    "okay so it maes this noise like a goose being folded",
    "Yeah.",
    "no no no no no no no no no no no no no no no no no no no no no no no no no no",
    "Ça va très bien, merci 🙂",
    "I am so happy for you, really, I could not have wished for anything better today.",
]


@pytest.fixture(scope="module")
def fp32(minilm_folder):
    return OnnxEmbedder.load("fp32")


@pytest.fixture(scope="module")
def sentence_transformer(minilm_folder):
    return load_embedder(str(minilm_folder))


class CountingSession:
    def __init__(self, session):
        self.session = session
        self.texts = 0

    def run(self, outputs, inputs):
        self.texts += inputs["input_ids"].shape[0]
        return self.session.run(outputs, inputs)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([*TEXTS, "", "  ", "Yes."]), max_size=8))
def test_a_vector_depends_on_its_own_text_alone(embedder, texts):
    together = embedder.embed(texts)
    assert together.shape == (len(texts), 384)
    for text, vector in zip(texts, together, strict=True):
        assert np.array_equal(embedder.embed([text])[0], vector)


@pytest.mark.parametrize("which", ["fp32", "sentence_transformer"])
def test_so_do_the_other_embedders_vectors(which, request):
    model = request.getfixturevalue(which)
    together = model.embed(TEXTS)
    assert np.array_equal(model.embed(TEXTS[::-1])[::-1], together)
    assert np.array_equal(model.embed(TEXTS[2:3])[0], together[2])


def test_sentence_transformers_are_given_one_text_at_a_time():
    class Model:
        max_seq_length = 9

        def encode(self, texts, **options):
            assert options["normalize_embeddings"]
            (text,) = texts
            return np.full((1, 2), len(text))

        def get_embedding_dimension(self):
            return 2

    done = []
    vectors = SentenceTransformerEmbedder("invented", Model()).embed(
        ["a", "", "bb", "a"], done.append
    )
    assert vectors[:, 0].tolist() == [1, 0, 2, 1]
    assert sum(done) == 2


@pytest.mark.parametrize("which", ["embedder", "fp32"])
def test_not_a_bit_of_a_vector_depends_on_its_batch(which, request):
    """Texts of every length from 3 to 40 tokens, in batches of 1 to many."""
    model = request.getfixturevalue(which)
    drawn = random.Random(0)
    words = " ".join(TEXTS).split()
    texts = [" ".join(drawn.choices(words, k=1 + number % 30)) for number in range(240)]
    together = model.embed(texts)
    for count in (1, 2, 3, 7):
        for start in range(0, 60, count):
            part = model.embed(texts[start : start + count])
            assert np.array_equal(part, together[start : start + count])
    assert np.array_equal(model.embed(texts[::-1])[::-1], together)


def test_more_than_a_block_of_texts_comes_in_order(embedder, monkeypatch):
    monkeypatch.setattr("ragemo.retrieval.embedding.embedder.FIRST_BLOCK", 4)
    monkeypatch.setattr("ragemo.retrieval.embedding.embedder.BLOCK", 8)
    texts = [f"{TEXTS[number % 3]} {number}" for number in range(35)]
    vectors = embedder.embed(texts)
    for row in (0, 3, 4, 11, 12, 34):
        assert np.array_equal(vectors[row], embedder.embed([texts[row]])[0])


def test_a_failing_batch_is_an_error_and_the_rest_is_dropped(embedder, monkeypatch):
    monkeypatch.setattr("ragemo.retrieval.embedding.embedder.cores", lambda: 1)
    begun = []

    class Failing:
        def run(self, outputs, inputs):
            begun.append(inputs["input_ids"].shape)
            raise RuntimeError("out of memory")

    many = [f"number {one} of many" for one in range(1_000)]  # dozens of batches
    with pytest.raises(RuntimeError, match="out of memory"):
        replace(embedder, session=Failing()).embed(many)
    assert len(begun) == 1


@pytest.mark.parametrize("which", ["embedder", "fp32", "sentence_transformer"])
def test_vectors_have_length_one_and_blank_texts_are_zero(which, request):
    model = request.getfixturevalue(which)
    vectors = model.embed([*TEXTS, "", " \n\t"])
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS) + 2, model.dimension)
    assert np.allclose(np.linalg.norm(vectors[:-2], axis=1), 1, atol=1e-5)
    assert not vectors[-2:].any()
    assert model.embed([]).shape == (0, model.dimension)
    assert not model.embed([""]).any()


def test_each_distinct_text_is_embedded_once(embedder):
    session = CountingSession(embedder.session)
    done = []
    vectors = replace(embedder, session=session).embed(
        ["Yes.", "No.", "Yes.", "", "No.", "Yes.", " "], done.append
    )
    assert session.texts == 2
    assert sum(done) == 2
    assert np.array_equal(vectors[0], vectors[2])
    assert np.array_equal(vectors[0], vectors[5])
    assert not np.array_equal(vectors[0], vectors[1])


def test_long_texts_are_cut(embedder):
    long = "word " * MAX_TOKENS
    assert np.array_equal(*embedder.embed([long, long + "and nobody hears the end of it"]))
    assert not np.array_equal(*embedder.embed(["word " * 50, "word " * 50 + "and its end"]))


def test_the_quantised_vectors_are_close_to_the_full_ones(embedder, fp32):
    cosines = (embedder.embed(TEXTS) * fp32.embed(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.97
    assert cosines.mean() > 0.985


def test_the_full_vectors_are_those_of_sentence_transformers(fp32, sentence_transformer):
    assert isinstance(sentence_transformer, SentenceTransformerEmbedder)
    cosines = (fp32.embed(TEXTS) * sentence_transformer.embed(TEXTS)).sum(axis=1)
    assert cosines.min() > 0.999


def test_similar_texts_are_similar(embedder):
    glad, happy, cold = embedder.embed(["I am so glad!", "I'm really happy.", "The soup is cold."])
    assert glad @ happy > glad @ cold + 0.2


def test_an_identity_names_what_determines_a_vector(embedder, fp32, sentence_transformer):
    assert embedder.identity == {
        "name": "minilm",
        "weights_sha256": MINILM.weights_sha256,
        "graph": 3,
        "precision": "int8",
        "max_tokens": 256,
    }
    assert fp32.identity != embedder.identity
    again = load_index_embedder(fp32.identity)
    assert isinstance(again, OnnxEmbedder)
    assert again.identity == fp32.identity
    assert load_index_embedder(sentence_transformer.identity).identity["max_tokens"] == 256


@pytest.mark.parametrize(
    ("name", "precision", "said"),
    [
        ("minilm", "int4", "precision 'int4': expected int8 or fp32"),
        ("smollm2", "int8", "'smollm2' is a language model"),
        ("~no-such-user/model", "int8", "begins with a home folder that is not known"),
    ],
)
def test_an_impossible_embedder_is_refused(name, precision, said):
    with pytest.raises(SettingsError, match=said):
        load_embedder(name, precision)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder of small models of sentence-transformers: one in half precision, one static."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, StaticEmbedding, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "there", "query", ":"]
    (folder / "words.txt").write_text("\n".join(words))
    sizes = dict.fromkeys(("hidden_size", "intermediate_size"), 8)
    config = BertConfig(vocab_size=len(words), num_hidden_layers=1, num_attention_heads=2, **sizes)
    torch.manual_seed(0)
    BertModel(config).to(torch.bfloat16).save_pretrained(folder / "bert")
    BertTokenizerFast(str(folder / "words.txt")).save_pretrained(folder / "bert")
    modules = [Transformer(str(folder / "bert")), Pooling(8)]
    SentenceTransformer(modules=modules).save(str(folder / "half"))
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    static = StaticEmbedding(tokenizer, embedding_dim=8)
    SentenceTransformer(modules=[static]).save(str(folder / "static"))
    return folder


@pytest.mark.parametrize("name", ["half", "static"])
def test_models_of_half_precision_and_static_ones_are_embedders_too(tiny, name):
    model = load_embedder(str(tiny / name))
    vectors = model.embed(["hello there", "there", ""])
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 0], abs=1e-6)
    json.dumps(model.identity)
    assert load_embedder(str(tiny / name)).identity == model.identity


def test_an_embedder_that_does_not_tell_what_it_is_made_of_is_refused(tmp_path):
    """No index could be told to be of the same."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import BoW

    SentenceTransformer(modules=[BoW(["hello", "there"])]).save(str(tmp_path / "bag"))
    with pytest.raises(ModelError, match="WhitespaceTokenizer does not tell what it is made of"):
        load_embedder(str(tmp_path / "bag"))


def test_a_prompt_of_a_model_s_own_is_in_its_identity(tiny):
    """Else the vectors without it would be taken from the cache."""
    plain = load_embedder(str(tiny / "half"))
    file = tiny / "half" / "config_sentence_transformers.json"
    settings = json.loads(file.read_text())
    prompted = {"prompts": {"ask": "query : "}, "default_prompt_name": "ask"}
    file.write_text(json.dumps(settings | prompted))
    other = load_embedder(str(tiny / "half"))
    file.write_text(json.dumps(settings))
    assert not np.array_equal(other.embed(["hello"]), plain.embed(["hello"]))
    assert other.identity != plain.identity


def test_an_index_s_embedder_is_no_folder_that_happens_to_be_here(tiny, monkeypatch):
    """Whoever made the index could have sent the folder along."""
    monkeypatch.chdir(tiny.parent)
    identity = {"name": f"{tiny.name}/static", "precision": "fp32"}
    with pytest.raises(ModelError, match="would be read from a folder of that name here"):
        load_index_embedder(identity)
    here = load_embedder(f"{tiny.name}/static")
    assert here.identity["name"] == str(tiny / "static")
    assert load_index_embedder(here.identity).identity == here.identity


def test_the_embedded_model_is_found_beside_a_folder_of_its_name(tmp_path, monkeypatch, embedder):
    (tmp_path / "minilm").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_index_embedder(embedder.identity).identity == embedder.identity


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"none: no such folder"):
        load_embedder(str(tmp_path / "none"))


def test_a_damaged_cache_says_how_to_mend_it(tmp_path, monkeypatch, minilm_folder):
    monkeypatch.setenv("RAGEMO_CACHE", str(tmp_path))
    folder = model_folder("minilm")
    folder.mkdir(parents=True)
    (folder / "model-int8.onnx").write_bytes(b"damaged")
    shutil.copy(minilm_folder / "ragemo.json", folder)
    with pytest.raises(ModelError, match="ragemo models pull minilm --again"):
        load_embedder()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_run_holds_no_operator_that_takes_longer_than_its_parts(
    precision, tmp_path, monkeypatch
):
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    options.log_severity_level = 3  # it warns that such a file is for this processor alone
    monkeypatch.setattr(onnxruntime, "SessionOptions", lambda: options)
    OnnxEmbedder.load(precision)
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "run.onnx").graph.node)
    assert kinds["LayerNormalization"] == 13
    assert not [kind for kind in kinds if "SkipLayer" in kind]
