"""What an endpoint can do is learned from what it refuses and from what it answers.

That fewer answers came than were asked for once, or that several are refused at this temperature,
may be otherwise in the next run, and is not remembered.

What can be learned stands in `capabilities.py`, where it is remembered in `memory.py`, and what
people are told of it in `remarks.py`.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ragemo.errors import EndpointError
from ragemo.labels import LabelSet
from ragemo.llm.abilities.capabilities import (
    MOST_ALTERNATIVES,
    VALUE_OUT_OF_RANGE,
    Capabilities,
)
from ragemo.llm.abilities.memory import recall, remember
from ragemo.llm.abilities.remarks import Remarks
from ragemo.llm.replies import Reply
from ragemo.llm.requests import Call
from ragemo.llm.sending.endpoint import Endpoint
from ragemo.llm.sending.faults import CallError

OF_THIS_TEMPERATURE = r"(?i:greedy|temperature)"
"""What a complaint about several answers mentions where another temperature may have them: vLLM
refuses them at 0 alone."""

SURE = 2
"""So many replies with fewer answers than were asked for, and none with all, are no accident."""


class Learning:
    """What is known of an endpoint, from now and from the last week.

    Args:
        endpoint: who is asked.
        constraint: "auto", or the one that is kept to.
        label_probabilities: whether log-probabilities are asked for.

    Attributes:
        capabilities: what it has shown so far, as far as these settings let it.
    """

    def __init__(self, endpoint: Endpoint, constraint: str, label_probabilities: bool) -> None:
        self._endpoint = endpoint
        self._constraint = constraint
        self._label_probabilities = label_probabilities
        self.forget()
        if (remembered := recall(endpoint)) is not None:
            self._known = remembered.capabilities
            self.capabilities = self._as_wished(self._known)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What people should know of it, a sentence each."""
        return self._remarks.sentences(self.capabilities)

    def learn(self, able: Capabilities) -> None:
        """Take this for what the endpoint can do, from now on and in later runs.

        What the settings decide is not remembered: a constraint chosen by name, and that no
        log-probabilities are asked for. Nor is what was taken for now.
        """
        self.capabilities = able
        known = able
        if able.largest_n == self._n_for_now:
            known = replace(known, largest_n=self._known.largest_n)
        if self._constraint != "auto":
            known = replace(known, constraint=self._known.constraint)
        if not self._label_probabilities:
            known = replace(known, top_logprobs=self._known.top_logprobs)
        self._known = known
        remember(self._endpoint, known)

    def _ask_for_now(self, n: int) -> None:
        """Ask for no more answers at once, in this process alone: another may get more."""
        self._n_for_now = n
        self.capabilities = replace(self.capabilities, largest_n=n)

    def forget(self) -> None:
        """Take the endpoint for one of which nothing is known."""
        self._n_for_now = self._short_replies = 0
        self._gives_all = False
        first = "json_schema" if self._endpoint.is_openai else "grammar"
        self._known = Capabilities(first, top_logprobs=MOST_ALTERNATIVES)
        self.capabilities = self._as_wished(self._known)
        self._remarks = Remarks(self._endpoint)

    def after_refusal(self, call: Call, error: CallError) -> None:
        """Learn from a refused call, so that it can be made again in another way.

        Raises:
            CallError: the error, if the endpoint complains of nothing that can be changed.
            EndpointError: if every call would be refused.
        """
        if not error.complaint:
            raise error
        if self.capabilities != call.able:
            return  # a call beside this one has learned since
        learned = call.able.after_refusal(error.complaint, call.n)
        if learned is None:
            raise error
        about_temperature = learned.temperature != call.able.temperature
        if about_temperature and re.search(VALUE_OUT_OF_RANGE, error.complaint):
            raise EndpointError(f"{error}; set llm.temperature to what it takes")
        if self._constraint not in ("auto", learned.constraint):
            raise EndpointError(
                f"{error}; set llm.constraint to auto or none instead of {self._constraint!r}"
            )
        fewer = learned.largest_n < call.able.largest_n
        if fewer and re.search(OF_THIS_TEMPERATURE, error.complaint):
            self._ask_for_now(learned.largest_n)
        else:
            self.learn(learned)

    def after_reply(self, call: Call, form: str, labels: LabelSet, reply: Reply) -> bool:
        """Learn from a reply; whether it can be used, else the call has to be made again.

        Args:
            call: what was asked.
            form: of the answers, one of `FORMS`.
            labels: the label set.
            reply: what came.
        """
        self._remarks.hear(call, form, labels, reply)
        if reply.thought_too_long and not call.able.thinks:
            self.learn(replace(self.capabilities, thinks=True))
            return False
        if (
            self._constraint == "auto"
            and call.able.constraint == "grammar"
            and form == "label"
            and reply.not_held("grammar", labels)
        ):
            if self.capabilities.constraint == "grammar":
                self.learn(replace(self.capabilities, constraint="json_schema"))
            return False
        self._count(call.n, len(reply.answers), reply.broken_off)
        return True

    def _count(self, asked: int, answers: int, broken_off: int) -> None:
        """Learn from how many answers came."""
        if answers + broken_off >= asked:
            self._gives_all |= asked > max(self._n_for_now, 1)
        elif answers:
            self._short_replies += 1
            if self.capabilities.largest_n >= asked:
                self._ask_for_now(answers)  # one may just have got lost on its way
            if self._short_replies == SURE and not self._gives_all:
                self._n_for_now = 0
                self.learn(self.capabilities)

    def _as_wished(self, able: Capabilities) -> Capabilities:
        """What an endpoint can do, as far as the settings let it."""
        return replace(
            able,
            constraint=able.constraint if self._constraint == "auto" else self._constraint,
            top_logprobs=able.top_logprobs if self._label_probabilities else 0,
        )
