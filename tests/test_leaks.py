"""What must not be seen is planted as marker words, in every format; then it is looked for."""

import json
from dataclasses import replace

import pytest

from ragemo.corpus import read_corpus
from ragemo.errors import SettingsError
from ragemo.pipeline import carry_out, make_plan, predict
from ragemo.retrieval.index import Index
from ragemo.retrieval.voters import INDEX_VOTERS
from ragemo.runs.scores import score_run
from ragemo.settings import resolve_settings
from tests.conftest import FakeEmbedder
from tests.fake_llm import FakeLLM, user_text

HUMAN = "zzhuman"
"""Stands in every reference transcript."""

JUDGED = "zzjudged"
"""Stands in the columns of CPED in which people judged the utterance."""

ENCODINGS = ("utf-8", "utf-32-le")
"""How texts are written; the second in NumPy's arrays, as the vocabulary of an index is."""

TURNS = 5
DIALOGUES = 4
EMOTIONS = {
    "gensec": ("neu", "hap", "sad", "ang"),
    "cped": ("neutral", "happy", "sadness", "anger"),
    "meld": ("neutral", "joy", "sadness", "anger"),
    "emorynlp": ("Neutral", "Joyful", "Sad", "Mad"),
    "topicalchat": ("Neutral", "Happy", "Sad", "Angry"),
    "plain": ("zzcalm", "zzglad", "zzblue", "zzcross"),
    "plain csv": ("zzcalm", "zzglad", "zzblue", "zzcross"),
}
WITH_REFERENCE = ("gensec", "topicalchat", "plain", "plain csv")


def heard(dialogue, turn):
    """What a recogniser made of a turn; the marker tells which turn it is."""
    return f"heard d{dialogue}t{turn}x"


def told(what, dialogue, turn):
    """What else a corpus tells of a turn."""
    return f"{what} d{dialogue}t{turn}x"


def rows():
    return [(dialogue, turn) for dialogue in range(DIALOGUES) for turn in range(TURNS)]


def write(folder, format_, human=HUMAN):
    """A corpus of the format: DIALOGUES dialogues of TURNS turns, two speakers, two sessions."""
    emotions = EMOTIONS[format_]

    def emotion(dialogue, turn):
        return emotions[(dialogue + turn) % len(emotions)]

    if format_ == "gensec":
        name = "a.json"
        text = json.dumps(
            [
                {
                    # The last turn but one is context only, and its label no label of the set.
                    "need_prediction": "no" if turn == TURNS - 2 else "yes",
                    "emotion": "zzrage" if turn == TURNS - 2 else emotion(dialogue, turn),
                    "id": f"Ses0{1 + dialogue % 2}F_impro0{dialogue}_F00{turn}",
                    "speaker": f"Ses0{1 + dialogue % 2}_{'FM'[turn % 2]}",
                    "groundtruth": f"{human} said",
                    "whispertiny": heard(dialogue, turn),
                    "hubertlarge": heard(dialogue, turn),
                }
                for dialogue, turn in rows()
            ]
        )
    elif format_ == "cped":
        name = "a.csv"
        traits = "Neuroticism,Extraversion,Openness,Agreeableness,Conscientiousness"
        text = (
            f"TV_ID,Dialogue_ID,Utterance_ID,Speaker,Gender,Age,{traits},Scene,Sentiment,Emotion,"
            "DA,Utterance\n"
        )
        for d, t in rows():
            series = 91 + d % 2
            text += (
                f"{series},{series}_00{d},{series}_00{d}_00{t},{'AB'[t % 2]},female,young,high,low,"
                f"low,high,unknown,{told('scene', d, t)},{JUDGED},{emotion(d, t)},{JUDGED},"
                f"{heard(d, t)}\n"
            )
    elif format_ == "meld":
        name = "a.csv"
        text = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n" + "".join(
            f"{n},{heard(d, t)},{'AB'[t % 2]},{emotion(d, t)},x,{d},{t}\n"
            for n, (d, t) in enumerate(rows())
        )
    elif format_ == "emorynlp":
        name = "a.csv"
        text = "Utterance,Speaker,Emotion,Scene_ID,Utterance_ID,Season,Episode\n" + "".join(
            f"{heard(d, t)},['{'AB'[t % 2]}'],{emotion(d, t)},{d + 1},{t + 1},1,2\n"
            for d, t in rows()
        )
    elif format_ == "topicalchat":
        name = "a.json"
        text = json.dumps(
            {
                f"t_{dialogue}": {
                    "content": [
                        {
                            "message": f"{human} said",
                            "agent": f"agent_{1 + turn % 2}",
                            "sentiment": emotion(dialogue, turn),
                            "message_asr_A": heard(dialogue, turn),
                            "message_asr_B": heard(dialogue, turn),
                        }
                        for turn in range(TURNS)
                    ]
                }
                for dialogue in range(DIALOGUES)
            }
        )
    elif format_ == "plain":
        name = "a.jsonl"
        text = "".join(
            json.dumps(
                {
                    "id": f"{d}_{t}",
                    "dialogue_id": f"d{d}",
                    "turn": t,
                    "speaker": "AB"[t % 2],
                    "session": f"s{d % 2}",
                    "hypotheses": {"one": heard(d, t), "two": heard(d, t)},
                    "reference": f"{human} said",
                    "emotion": emotion(d, t),
                    **{what: told(what, d, t) for what in ("profile", "scene", "stage")},
                }
            )
            + "\n"
            for d, t in rows()
        )
    else:
        name = "a.csv"
        text = "id,dialogue_id,turn,speaker,session,text,emotion,reference\n" + "".join(
            f"{d}_{t},d{d},{t},{'AB'[t % 2]},s{d % 2},{heard(d, t)},{emotion(d, t)},{human} said\n"
            for d, t in rows()
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def run_on(corpus, out, index=None, **overrides):
    """Predict with a language model that keeps its prompts; all it was shown."""
    settings = resolve_settings({}, {"prompt.demonstration_context": 2} | overrides)
    llm = FakeLLM(lambda prompt, sample: corpus.labels.words[len(prompt.messages) % 2])
    run = predict(corpus, settings, out, index=index, embedder=FakeEmbedder(), llm=llm)
    assert llm.prompts
    return run, llm.prompts


def contents(folder):
    """Every byte of a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def without_references(files):
    """A run's files without the one field that keeps a reference transcript, to be looked at."""
    lines = [json.loads(line) for line in files["utterances.jsonl"].splitlines()]
    assert all(line.pop("reference") for line in lines)
    return files | {"utterances.jsonl": json.dumps(lines).encode()}


@pytest.mark.parametrize("format_", WITH_REFERENCE)
def test_the_reference_transcript_reaches_nothing(tmp_path, format_):
    corpus = read_corpus(write(tmp_path, format_))
    assert all(HUMAN in (utterance.reference or "") for utterance in corpus.utterances)
    index = Index.build(corpus, FakeEmbedder())
    index.save(tmp_path / "index")
    run, prompts = run_on(corpus, tmp_path / "run", index)

    for prompt in prompts:
        assert "heard" in user_text(prompt)
        assert HUMAN not in "".join(message.content for message in prompt.messages)
    kept = without_references(contents(tmp_path / "run"))
    for files in (contents(tmp_path / "index"), kept):
        assert b"heard" in files["utterances.jsonl"]
        for encoding in ENCODINGS:
            assert not [name for name, data in files.items() if HUMAN.encode(encoding) in data]
    assert "heard".encode(ENCODINGS[1]) in (tmp_path / "index" / "voters.npz").read_bytes()
    assert run.manifest["uses_reference_transcripts"] is False


@pytest.mark.parametrize("format_", WITH_REFERENCE)
def test_other_reference_transcripts_change_no_vector_and_no_answer(tmp_path, format_):
    made = []
    for human in (HUMAN, "quite different words"):
        folder = tmp_path / human.split()[0]
        corpus = read_corpus(write(folder, format_, human))
        index = Index.build(corpus, FakeEmbedder())
        index.save(folder / "index")
        run_on(corpus, folder / "run", index)
        files = contents(folder / "index") | {
            f"run/{name}": data
            for name, data in without_references(contents(folder / "run")).items()
        }
        # The manifests name the corpus by its hash, so they must differ.
        made.append({name: data for name, data in files.items() if "manifest" not in name})
        assert made[-1].keys() >= {
            *("utterances.jsonl", "vectors.npy", "voters.npz", "windows.npy"),
            *("run/utterances.jsonl", "run/ballots.jsonl", "run/verdicts.jsonl"),
        }
        # Answers come in any order.
        made[-1]["run/ballots.jsonl"] = sorted(made[-1]["run/ballots.jsonl"].splitlines())
    assert made[0] == made[1]


@pytest.mark.parametrize("format_", WITH_REFERENCE)
def test_a_reference_that_was_asked_for_is_used_and_owned_up_to(tmp_path, format_):
    corpus = read_corpus(write(tmp_path, format_))
    run, prompts = run_on(
        corpus, tmp_path / "run", **{"corpus.transcript": "reference", "retrieval.k": 0}
    )
    assert all(HUMAN in user_text(prompt) for prompt in prompts)
    assert run.manifest["uses_reference_transcripts"] is True
    assert any("reference transcripts were used" in note for note in score_run(run).notes)

    index = Index.build(corpus, FakeEmbedder(), transcript="reference")
    run, prompts = run_on(corpus, tmp_path / "other", index, **{"corpus.transcript": "longest"})
    assert run.manifest["uses_reference_transcripts"] is True  # in the demonstrations
    assert any("reference transcripts were used" in note for note in score_run(run).notes)


@pytest.mark.parametrize("format_", EMOTIONS)
@pytest.mark.parametrize("context", [0, 2, None])
def test_no_prompt_holds_a_later_turn(tmp_path, format_, context):
    corpus = read_corpus(write(tmp_path, format_))
    index = Index.build(corpus, FakeEmbedder())
    _, prompts = run_on(corpus, tmp_path / "run", index, **{"prompt.context": context})
    texts = {u.id: next(iter(u.hypotheses.values())) for u in corpus.utterances}
    where = {u.id: dialogue for dialogue in corpus.dialogues for u in dialogue.utterances}
    for prompt in prompts:
        own = [u.id for u in where[prompt.utterance_id].utterances]
        place = own.index(prompt.utterance_id)
        first = 0 if context is None else max(0, place - context)
        shown = user_text(prompt)
        assert [texts[i] in shown for i in own] == [first <= n <= place for n in range(len(own))]
        for n, utterance in enumerate(where[prompt.utterance_id].utterances):
            for field in (utterance.profile, utterance.scene, utterance.stage):
                if field.endswith("x"):  # told of this turn alone
                    assert (field in shown) == (n == place)
        assert prompt.demonstrations


def test_what_people_judged_of_an_utterance_reaches_nothing(tmp_path):
    path = write(tmp_path, "cped")
    assert JUDGED in path.read_text(encoding="utf-8")
    corpus = read_corpus(path)
    index = Index.build(corpus, FakeEmbedder())
    index.save(tmp_path / "index")
    _, prompts = run_on(corpus, tmp_path / "run", index)
    assert all("female, young; high neuroticism" in user_text(prompt) for prompt in prompts)
    assert JUDGED not in "".join(m.content for prompt in prompts for m in prompt.messages)
    for data in (*contents(tmp_path / "index").values(), *contents(tmp_path / "run").values()):
        assert not [encoding for encoding in ENCODINGS if JUDGED.encode(encoding) in data]


@pytest.mark.parametrize("format_", EMOTIONS)
def test_gold_labels_of_the_dialogue_are_never_shown(tmp_path, format_):
    corpus = read_corpus(write(tmp_path, format_))
    _, prompts = run_on(corpus, tmp_path / "run", **{"prompt.context": None, "retrieval.k": 0})
    emotions = {u.emotion.casefold() for u in corpus.utterances}
    words = emotions | {word.casefold() for word in corpus.labels.words}
    for prompt in prompts:
        assert not [word for word in words if word in user_text(prompt).casefold()]


@pytest.mark.parametrize("format_", EMOTIONS)
def test_other_gold_labels_change_no_prompt_and_no_decision(tmp_path, format_):
    corpus = read_corpus(write(tmp_path, format_))
    index = Index.build(corpus, FakeEmbedder())
    first, second = corpus.labels.names[:2]
    blind = replace(
        corpus,
        dialogues=tuple(
            replace(
                dialogue,
                utterances=tuple(
                    replace(u, emotion=second if u.emotion == first else first)
                    for u in dialogue.utterances
                ),
            )
            for dialogue in corpus.dialogues
        ),
    )
    asked, decided = [], []
    for name, labelled in (("true", corpus), ("false", blind)):
        run, prompts = run_on(labelled, tmp_path / name, index)
        asked.append({prompt.utterance_id: prompt for prompt in prompts})
        decided.append((tmp_path / name / "verdicts.jsonl").read_bytes())
        assert len(run.ballots()) == (1 + len(INDEX_VOTERS)) * len(prompts)
    assert asked[0] == asked[1]
    assert decided[0] == decided[1]


@pytest.mark.parametrize("format_", EMOTIONS)
@pytest.mark.parametrize("exclude", ["dialogue", "session", "speaker"])
def test_a_file_predicted_with_its_own_index_shows_nothing_of_the_query(tmp_path, format_, exclude):
    corpus = read_corpus(write(tmp_path, format_))
    index = Index.build(corpus, FakeEmbedder())
    run, prompts = run_on(
        corpus, tmp_path / "run", index, **{"retrieval.exclude": exclude, "retrieval.k": 100}
    )
    unit = {"dialogue": "dialogue_id", "session": "session", "speaker": "speaker"}[exclude]
    known = {u.id: u for u in corpus.utterances}
    shown = 0
    for prompt in prompts:
        query = known[prompt.utterance_id]
        for demonstration in prompt.demonstrations:
            found = known[demonstration.window.target.utterance_id]
            assert found.dialogue_id != query.dialogue_id
            own = getattr(query, unit)
            assert not own or getattr(found, unit) != own
            shown += 1
    # Many are left, so none was shut out without need.
    most = sum(
        other.needs_prediction
        and other.dialogue_id != query.dialogue_id
        and (not getattr(query, unit) or getattr(other, unit) != getattr(query, unit))
        for query in corpus.utterances
        if query.needs_prediction
        for other in corpus.utterances
    )
    assert shown == most
    assert run.manifest["settings"]["retrieval"]["exclude"] == exclude


def relabelled(corpus, changed):
    """The corpus with other gold labels in some dialogues."""
    names = corpus.labels.names
    return replace(
        corpus,
        dialogues=tuple(
            replace(
                dialogue,
                utterances=tuple(
                    replace(u, emotion=names[(names.index(u.emotion) + 1) % len(names)])
                    if u.emotion in names and dialogue.id in changed
                    else u
                    for u in dialogue.utterances
                ),
            )
            for dialogue in corpus.dialogues
        ),
    )


@pytest.mark.parametrize("format_", EMOTIONS)
def test_the_index_votes_without_the_query_s_own_dialogue(tmp_path, format_):
    corpus = read_corpus(write(tmp_path, format_))
    first, *others = (dialogue.id for dialogue in corpus.dialogues)
    alone = replace(corpus, dialogues=corpus.dialogues[:1])
    settings = resolve_settings({}, {"retrieval.k": 0})

    def said_by(labelled):
        index = Index.build(labelled, FakeEmbedder())
        plan = make_plan(alone, settings, index=index, embedder=FakeEmbedder())
        run = carry_out(plan, settings, tmp_path / f"run{len(list(tmp_path.iterdir()))}")
        verdicts = (run.path / "verdicts.jsonl").read_bytes()
        return {(b.voter, b.utterance_id): b.distribution for b in plan.ballots}, verdicts

    ballots, verdicts = said_by(corpus)
    assert {voter for voter, _ in ballots} == set(INDEX_VOTERS)
    assert said_by(relabelled(corpus, {first})) == (ballots, verdicts)
    others_changed, _ = said_by(relabelled(corpus, set(others)))
    for voter in INDEX_VOTERS:
        assert any(others_changed[key] != ballots[key] for key in ballots if key[0] == voter)

    # An index that holds nothing but the query's dialogue has nothing to say of it.
    only = Index.build(alone, FakeEmbedder())
    with pytest.raises(SettingsError, match="the index needs a second dialogue"):
        make_plan(alone, settings, index=only, embedder=FakeEmbedder())
