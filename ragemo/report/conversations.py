"""The conversations of a run for its page.

What lists and filters need of every turn stands in columns. All else of a turn (transcripts,
neighbours, prompts, ballots, reasons) is in blocks of `BLOCK` turns, which the page unpacks when
one of them is opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ragemo.labels import LabelSet
from ragemo.report.reasons import Reason
from ragemo.runs.records import AskedPrompt, RunUtterance
from ragemo.types import Ballot, Demonstration, Verdict

BLOCK = 16
"""Turns that are unpacked together."""

CONTEXT = -2
"""Stands for the label of a turn that is context only."""

NONE = -1
"""Stands for a label that is not known, or a verdict without one."""

DIGITS = 4


class Pool:
    """Texts, each kept once and told by its number."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}

    def number(self, text: str) -> int:
        """The text's number."""
        return self.texts.setdefault(text, len(self.texts))


def columns(
    utterances: Sequence[RunUtterance],
    verdicts: Mapping[str, Verdict],
    why: Mapping[str, Reason],
    labels: LabelSet,
) -> dict[str, list[Any]]:
    """One list for each thing that is known of a turn, in the order of the turns.

    `dialogue`, `speaker` and `text` are numbers in the `strings` that come with them; `gold` and
    `label` are positions in the label set, or `NONE` or `CONTEXT`.
    """
    strings = Pool()
    found: dict[str, list[Any]] = {
        name: []
        for name in (
            *("id", "dialogue", "turn", "speaker", "text", "gold", "label", "confidence"),
            *("disagreement", "choices", "invalid", "failed", "abstained", "duplicate"),
        )
    }
    for utterance in utterances:
        turn, target = utterance.turn, utterance.turn.utterance_id
        verdict = verdicts.get(target)
        reason = why.get(target)
        row: dict[str, Any] = {
            "id": target,
            "dialogue": strings.number(turn.dialogue_id),
            "turn": turn.turn,
            "speaker": strings.number(turn.speaker),
            "text": strings.number(turn.text),
            "gold": _position(utterance.gold, labels),
            "label": CONTEXT if verdict is None else _position(verdict.label, labels),
            "confidence": None if verdict is None else round(verdict.confidence, DIGITS),
            "disagreement": _rounded(turn.disagreement),
            "choices": len(set(reason.choices.values())) if reason else 0,
            "invalid": verdict.invalid if verdict else 0,
            "failed": verdict.failed if verdict else 0,
            "abstained": int(bool(verdict and verdict.abstained)),
            "duplicate": None if utterance.duplicate is None else int(utterance.duplicate),
        }
        for name, value in row.items():
            found[name].append(value)
    return {**found, "strings": list(strings.texts)}


def blocks(
    utterances: Sequence[RunUtterance],
    verdicts: Mapping[str, Verdict],
    ballots: Sequence[Ballot],
    why: Mapping[str, Reason],
    *,
    found: Mapping[str, Sequence[Demonstration]],
    asked: Sequence[AskedPrompt],
) -> list[dict[str, Any]]:
    """What the page shows beside a turn, `BLOCK` turns at a time, as `columns` has them."""
    cast: dict[str, list[Ballot]] = {}
    for ballot in ballots:
        if ballot.purpose == "verdict":
            cast.setdefault(ballot.utterance_id, []).append(ballot)
    prompts: dict[str, list[AskedPrompt]] = {}
    for prompt in asked:
        prompts.setdefault(prompt.prompt.utterance_id, []).append(prompt)
    packed = []
    for start in range(0, len(utterances), BLOCK):
        texts = Pool()
        turns = []
        for utterance in utterances[start : start + BLOCK]:
            target = utterance.turn.utterance_id
            own = prompts.get(target, ())
            answered = {(ballot.voter, ballot.sample) for ballot in cast.get(target, ())}
            sent = [
                prompt
                for prompt in own
                if any((prompt.model, sample) in answered for sample in prompt.samples)
            ]
            verdict = verdicts.get(target)
            turns.append(
                {
                    "source": utterance.turn.source,
                    "hypotheses": [[*pair] for pair in utterance.hypotheses.items()],
                    "reference": utterance.reference,
                    "distribution": _shares(verdict.distribution) if verdict else None,
                    "label_set": list(verdict.label_set) if verdict else [],
                    "details": dict(verdict.details) if verdict else {},
                    "why": _reason_data(why[target]) if target in why else None,
                    "ballots": [_ballot_data(ballot) for ballot in cast.get(target, ())],
                    "neighbours": [
                        _neighbour_data(one, sent, texts) for one in found.get(target, ())
                    ],
                    "prompts": [_prompt_data(one, one in sent, texts) for one in own],
                }
            )
        packed.append({"turns": turns, "texts": list(texts.texts)})
    return packed


def _reason_data(reason: Reason) -> dict[str, Any]:
    return {
        "winner": reason.winner,
        "runner_up": reason.runner_up,
        "steps": [[step.kind, step.name, round(step.nats, DIGITS)] for step in reason.steps],
        "temperature": reason.temperature,
        "stages": [[name, _shares(shares)] for name, shares in reason.stages.items()],
        "given": [[voter, *_shares(pair)] for voter, pair in reason.given.items()],
        "weights": reason.weights,
        "pool": reason.pool,
        "decoder": reason.decoder,
        "same": reason.same,
    }


def _ballot_data(ballot: Ballot) -> dict[str, Any]:
    return {
        "voter": ballot.voter,
        "sample": ballot.sample,
        "variant": ballot.variant,
        "distribution": _shares(ballot.distribution),
        "answer": ballot.answer,
        "error": ballot.error,
        "usage": asdict(ballot.usage),
        "details": dict(ballot.details),
    }


def _neighbour_data(
    found: Demonstration, sent: Sequence[AskedPrompt], texts: Pool
) -> dict[str, Any]:
    target = found.window.target
    return {
        "id": target.utterance_id,
        "speaker": target.speaker,
        "label": found.label,
        "similarity": round(found.similarity, DIGITS),
        "text": texts.number(target.text),
        "context": [[turn.speaker, texts.number(turn.text)] for turn in found.window.context],
        "prompts": sum(target.utterance_id in prompt.shown for prompt in sent),
    }


def _prompt_data(asked: AskedPrompt, sent: bool, texts: Pool) -> dict[str, Any]:
    prompt = asked.prompt
    return {
        "model": asked.model,
        "answers": len(asked.samples),
        "sent": sent,
        "variant": asked.variant,
        "tokens": prompt.tokens,
        "form": prompt.form,
        "dropped_demonstrations": prompt.dropped_demonstrations,
        "dropped_context": prompt.dropped_context,
        "messages": [[one.role, texts.number(one.content)] for one in prompt.messages],
    }


def _position(name: str | None, labels: LabelSet) -> int:
    return NONE if name is None else labels.index(name)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _shares(shares: Sequence[float] | None) -> list[float]:
    return [] if shares is None else [round(share, DIGITS) for share in shares]
