"""What came back of request files, and to which answers of a round it belongs.

Every answer has its key, which says all that determines it (`answer_key`), and a request is named
by the key of its first answer. So whatever has come, in whatever order and however often, belongs
to one place or to none: lines that came twice, that belong to nobody or that cannot be read are
counted and told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ragemo.errors import EndpointError
from ragemo.labels import LabelSet
from ragemo.llm.abilities.capabilities import Capabilities
from ragemo.llm.batch import MOST_SUBMISSIONS
from ragemo.llm.batch.folder import BatchFolder, Shipment
from ragemo.llm.batch.lines import Outcome, parts_of
from ragemo.llm.openai_model import OpenAIModel
from ragemo.llm.replies import Reply, read_reply
from ragemo.llm.requests import Call
from ragemo.llm.sending.faults import CallError, explain_outcome
from ragemo.types import Ballot, Prompt


@dataclass(frozen=True)
class Step:
    """What one inquiry needs next: a call.

    Attributes:
        model: who is asked.
        prompt: what.
        samples: the numbers of the answers.
        keys: of these and of others that may have been asked for together with them, by number, as
            far as they stand in a `custom_id`.
    """

    model: OpenAIModel
    prompt: Prompt
    samples: Sequence[int]
    keys: Mapping[int, str]

    @property
    def lead(self) -> str:
        """The key of the first answer; the call is over once it is there, or has failed."""
        return self.keys[self.samples[0]]

    def of(self, first: int, n: int) -> list[str]:
        """The keys of some samples in a row."""
        return [self.keys[sample] for sample in range(first, first + n) if sample in self.keys]


def with_shared_keys(steps: Sequence[Step]) -> list[Step]:
    """Steps of one prompt, each with the keys of all: a request of theirs may be for several."""
    shared: dict[tuple[int, int], dict[int, str]] = {}
    for step in steps:
        shared.setdefault((id(step.model), id(step.prompt)), {}).update(step.keys)
    return [replace(step, keys=shared[id(step.model), id(step.prompt)]) for step in steps]


Places = Mapping[str, tuple[Step, int]]
"""Key -> a step of the round that it belongs to, and the sample's number."""


@dataclass
class Found:
    """What is known of a round's answers, by their keys.

    Attributes:
        ballots: those that are there.
        failed: why there will be none.
        tries: how often one was asked for in vain.
        reasons: why, the last time.
        wasted: replies that could not be used, but were paid for.
    """

    ballots: dict[str, Ballot] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)
    wasted: dict[str, list[Reply]] = field(default_factory=dict)

    def settles(self, key: str) -> bool:
        """Whether nothing more is to be asked for."""
        return key in self.ballots or key in self.failed or self.tries[key] >= MOST_SUBMISSIONS


@dataclass(frozen=True)
class _Parcel:
    """A file whose outcome is taken in for a round.

    Attributes:
        shipment: which one.
        able: what the endpoint was taken to be able to do when it was written.
        places: where in the round a key belongs.
        found: gets what came.
    """

    shipment: Shipment
    able: Capabilities
    places: Places
    found: Found

    @property
    def is_new(self) -> bool:
        """Whether no round has heard it; a request that failed in an earlier one may be made
        again, for whoever goes on wants that.
        """
        return self.shipment.stage == "fetched"

    def place(self, name: str) -> tuple[tuple[Step, int] | None, int]:
        """The step and the number of the first answer that a request is for; how many it asks."""
        key, n = parts_of(name) or ("", 0)
        return self.places.get(key), n

    def keys(self, name: str) -> Sequence[str]:
        """The keys of this round that a request is for."""
        place, n = self.place(name)
        return () if place is None else place[0].of(place[1], n)


class Listener:
    """Takes in what lies in a run's batch folder.

    Args:
        folder: of the run.
        labels: the label set.
        say: told in words what came.
    """

    def __init__(self, folder: BatchFolder, labels: LabelSet, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._labels = labels
        self._say = say
        self._told: set[int] = set()
        self._usable: dict[int, dict[str, bool]] = {}  # file -> request -> what was learned of it

    def hear(self, steps: Sequence[Step], found: Found) -> set[str]:
        """Take in all that lies in the folder.

        Args:
            steps: of the round.
            found: gets what came of them.

        Returns:
            The keys of the round that are still under way.
        """
        places: dict[str, tuple[Step, int]] = {}
        for step in steps:
            for sample, key in step.keys.items():
                places.setdefault(key, (step, sample))
        found.tries.clear()
        found.wasted.clear()
        under_way: set[str] = set()
        for shipment in self._folder.shipments:
            parcel = _Parcel(shipment, Capabilities(**shipment.able), places, found)
            if shipment.is_open:
                for name in self._folder.custom_ids(shipment):
                    under_way.update(parcel.keys(name))
            elif shipment.stage != "refused":
                self._open(parcel)
        return under_way

    def _open(self, parcel: _Parcel) -> None:
        """Take in what came of one file."""
        shipment = parcel.shipment
        own = self._folder.custom_ids(shipment)
        count: Counter[str] = Counter()
        answered: set[str] = set()
        trouble: dict[str, str] = {}  # request that brought an error -> its words
        for outcome in self._folder.outcomes(shipment):
            name = "" if outcome is None else outcome.custom_id
            if outcome is None:
                count["that cannot be read"] += 1
            elif name not in own:
                count["of requests that were not made"] += 1
            elif name in answered or (name in trouble and outcome.completion is None):
                count["that came twice"] += 1
            elif outcome.completion is not None:
                self._take(name, outcome.completion, parcel)
                answered.add(name)
                trouble.pop(name, None)
            else:
                trouble[name] = self._refuse(outcome, parcel)
        if not parcel.is_new:
            return
        for name in own - answered:
            keys = parcel.keys(name)
            why = trouble.get(name, f"the batch is {shipment.status} and has no line for it")
            parcel.found.tries.update(keys)
            parcel.found.reasons.update(dict.fromkeys(keys, why))
        if shipment.number not in self._told:
            self._told.add(shipment.number)
            self._tell(shipment, len(answered), trouble, count)

    def _take(self, name: str, body: Mapping[str, Any], parcel: _Parcel) -> None:
        """Read a completion as an online one is read; one that cannot be used is asked anew."""
        place, n = parcel.place(name)
        if place is None:
            return  # of another round
        (step, first), found = place, parcel.found
        model, prompt, key = step.model, step.prompt, step.keys[first]
        reply = read_reply(body, n, prompt.tokens)
        usable = self._usable.setdefault(parcel.shipment.number, {})
        if name not in usable:  # a file is heard in every round, and learned from once
            usable[name] = model.learning.after_reply(
                Call({}, n, parcel.able), prompt.form, self._labels, reply
            )
        if not usable[name]:
            found.wasted.setdefault(key, []).append(reply)
            return
        reply = reply.or_empty().and_paid_for(found.wasted.pop(key, []))
        samples = range(first, first + n)
        for ballot in model.ballots(prompt, self._labels, samples, reply, batch=True):
            if ballot.sample in step.keys:
                found.ballots.setdefault(step.keys[ballot.sample], ballot)

    def _refuse(self, outcome: Outcome, parcel: _Parcel) -> str:
        """Learn from an error; a request that cannot succeed has failed.

        Returns:
            Its words, fit to be kept.
        """
        place, n = parcel.place(outcome.custom_id)
        if place is None:
            return "an error that concerns another round"
        model, keys, found = place[0].model, parcel.keys(outcome.custom_id), parcel.found
        error = explain_outcome(outcome.status, outcome.error or {}, model.endpoint, outcome.words)
        words = model.endpoint.brief(outcome.words)
        if isinstance(error, CallError):
            if error.transient:
                return words
            try:
                model.learning.after_refusal(Call({}, n, parcel.able), error)
            except (CallError, EndpointError) as refusal:
                error = refusal  # if of every call: others of the file may be answered all the same
            else:
                if parcel.is_new:  # to be made in another way, which is no failure
                    found.tries.subtract(keys)
                return words
        if parcel.is_new:
            found.failed.update(dict.fromkeys(keys, str(error)))
        return words

    def _tell(
        self, shipment: Shipment, answered: int, trouble: dict[str, str], count: Counter[str]
    ) -> None:
        parts = [f"{answered:,} of {shipment.requests:,} requests answered"]
        if trouble:
            words, most = Counter(trouble.values()).most_common(1)[0]
            parts.append(f"{len(trouble):,} failed ({most:,} with {words[:200]})")
        parts += [f"{number:,} lines {what}" for what, number in sorted(count.items())]
        self._say(f"{self._folder.file('answers', shipment).name}: {', '.join(parts)}")
