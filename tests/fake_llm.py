"""A language model for tests: it answers what it is told to and remembers what it was asked."""

import asyncio

from ragemo.types import Ballot


class FakeLLM:
    """Answers `say(prompt, sample)`; None is a call that failed. Later samples come sooner."""

    name = "fake"
    exact = False
    concurrency = 3
    counts_exactly = False
    answers_per_call = 1
    remarks = ()

    def __init__(self, say=lambda prompt, sample: "neutral", fate=None):
        self.say = say
        self.fate = fate
        self.prompts = []
        self.asked = []

    @property
    def identity(self):
        return {"model": self.name}

    def count_tokens(self, messages):
        return sum(len(message.content.split()) for message in messages)

    def most_answer_tokens(self, form):
        return 0 if self.exact else 16

    def price(self, prompt_tokens, answer_tokens):
        return 0.001 * prompt_tokens + 0.002 * answer_tokens

    async def ask(self, prompt, labels, samples):
        if self.fate is not None and len(self.asked) >= self.fate[0]:
            raise self.fate[1]
        self.prompts.append(prompt)
        self.asked += [(prompt.utterance_id, sample) for sample in samples]
        await asyncio.sleep(0.001 * (len(self.prompts) % 3))  # answers overtake one another
        ballots = []
        for sample in samples:
            answer = self.say(prompt, sample)
            label = None if answer is None else labels.find(answer)
            ballots.append(
                Ballot(
                    prompt.utterance_id,
                    self.name,
                    sample,
                    distribution=None if label is None else labels.one_hot(label),
                    answer=answer or "",
                    error="no answer came" if answer is None else None,
                )
            )
        return ballots

    async def close(self):
        pass


def user_text(prompt):
    """The question itself: what comes after the first, unchanging message."""
    return "\n".join(message.content for message in prompt.messages[1:])


class ShortLLM(FakeLLM):
    """Its calls bring no more than `brings` answers, which it learns as it asks for more."""

    answers_per_call = 128

    def __init__(self, say=lambda prompt, sample: "neutral", brings=128):
        super().__init__(say)
        self.brings = brings

    async def ask(self, prompt, labels, samples):
        if len(samples) > self.brings:
            self.answers_per_call = self.brings
        return await super().ask(prompt, labels, samples[: self.brings])
