"""Local models that know nothing, questions to them, and what a full pass says for each label."""

import asyncio
from dataclasses import replace

import torch
from transformers import PreTrainedConfig

from ragemo.labels import LabelSet
from ragemo.llm.local_model import LocalModel
from ragemo.types import Message, Prompt
from tests.conftest import LABELS

NESTED = LabelSet.from_dict(
    {"name": "nested", "labels": ["sad", "sad and angry", "sad and tired", "happy"]}
)
"""The tokens of one label begin those of others."""


LONG = LabelSet.from_dict(
    {"name": "long", "labels": ["curious to dive deeper", "neutral", "matter of fact", "curious"]}
)


OPENING = Message("system", "Answer with one emotion.")


def question(text, *, opening=OPENING, number=0):
    messages = (
        opening,
        Message("user", 'Ann: "What a lovely day!"'),
        Message("assistant", "happy"),
        Message("user", f'Bob: "{text}"'),
    )
    return Prompt(f"u{number}", messages, tokens=0)


QUESTIONS = [
    question("I am so sorry, I lost the dog."),
    question("Get out! I never want to see you again!", number=1),
    question("Fine.", number=2),
    question("Fine.", opening=Message("system", "Which feeling? One word."), number=3),
    Prompt("u4", (Message("user", "How does one feel who laughs? One word."),), tokens=0),
]


def ask(model, prompt, labels=LABELS, samples=(0,)):
    return asyncio.run(model.ask(prompt, labels, samples))


def comparable(ballots):
    """All but the time it took."""
    return [replace(b, usage=replace(b.usage, seconds=0.0)) for b in ballots]


def tiny_parts(tokenizer, kind, **options):
    """A tiny model with random weights: it knows nothing, but reads every token; a tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        bos_token_id=1,
        eos_token_id=2,
        **options,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config).eval(), tokenizer


class Bare:
    """The tokenizer without its chat format, as base models have it."""

    chat_template = None

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.eos_token_id = tokenizer.eos_token_id

    def __call__(self, *arguments, **options):
        return self.tokenizer(*arguments, **options)

    def apply_chat_template(self, messages, **options):
        """Only for `naive`: what a model without a chat format is to be shown."""
        return "".join(f"{message['content']}\n" for message in messages)

    def decode(self, *arguments, **options):
        return self.tokenizer.decode(*arguments, **options)


def naive(parts, prompt, candidates):
    """log P(candidate | prompt) with a full pass for each candidate."""
    model, tokenizer = parts
    text = tokenizer.apply_chat_template(
        [{"role": m.role, "content": m.content} for m in prompt.messages],
        add_generation_prompt=True,
        tokenize=False,
    )
    asked = tokenizer(text, add_special_tokens=False)["input_ids"]
    scores = []
    for candidate in candidates:
        with torch.inference_mode():
            logits = model(torch.tensor([asked + candidate])).logits[0]
        steps = torch.log_softmax(logits, dim=-1)[len(asked) - 1 : -1]
        scores.append(float(steps[torch.arange(len(candidate)), candidate].sum()))
    return scores


def tokens_of(parts, words):
    return [parts[1](word, add_special_tokens=False)["input_ids"] for word in words]


def sampler(parts, **options):
    known = {"mode": "sample", "temperature": 1.0, "max_answer_tokens": 6}
    return LocalModel("llm", *parts, **known | options)


class Says:
    """A model that always gives one answer."""

    config, dtype = PreTrainedConfig(), torch.float32

    def __init__(self, tokens):
        self.tokens = tokens

    def generate(self, tokens, **options):
        return torch.cat([tokens, torch.tensor([self.tokens])], dim=1)
