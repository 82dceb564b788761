"""A local causal language model by transformers: scores every label, or samples answers.

Scoring asks for no answer at all. With prompt x and the tokens t_1..t_m of label l as the
assistant would write it, the ballot holds

    log P(l | x) = sum_i log P(t_i | x, t_1..t_{i-1})

for every label, which is what infinitely many samples restricted to the labels would tend to.
Prompts are never batched: in a batch, padding and kernel shapes let a prompt's neighbours change
its last digits, and a resumed run could differ from one that was never stopped. Instead each
core takes a prompt of its own. The first message, the same for a whole run, and then all messages
but the last one, the same for targets that share demonstrations, are computed once by each of them
and kept. A prompt is always computed in these same steps, kept or not: in another division into
steps its last digits would be others.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ragemo.cores import cores
from ragemo.errors import ModelError, SettingsError
from ragemo.files import canonical_json, expanded
from ragemo.labels import LabelSet
from ragemo.llm.chat_format import ChatFormat
from ragemo.llm.forms import check_form, read_answer
from ragemo.models import EMBEDDED_MODELS, SMOLLM2, ensure_model, weights_hash
from ragemo.prompting.forms import FORMS
from ragemo.types import Ballot, Message, Prompt, Usage

MODES = ("score", "sample")

_DRAWING = threading.Lock()
"""Held by whoever draws from torch's generator, of which a process has one."""


class LocalModel:
    """A causal LM in this process; see `LanguageModel` for what it promises.

    Raises:
        SettingsError: if the mode is unknown.
        ModelError: if the model cannot be loaded.
    """

    counts_exactly = True
    answers_per_call = 1

    def __init__(
        self,
        name: str,
        model: Any,
        tokenizer: Any,
        *,
        mode: str = "score",
        temperature: float = 0.7,
        max_answer_tokens: int = 16,
        seed: int = 0,
        weights: str = "",
        commit: str = "",
    ) -> None:
        if mode not in MODES:
            raise SettingsError(f"llm.mode {mode!r}: expected {' or '.join(MODES)}")
        self.name = name
        self.exact = mode == "score"
        self._model = model
        self._tokenizer = tokenizer
        self._chat = ChatFormat(name, tokenizer)
        self._mode = mode
        self._temperature = temperature
        self._max_answer_tokens = max_answer_tokens
        self._seed = seed
        self._weights = weights
        self._commit = commit
        self._label_tokens: dict[tuple[str, ...], list[list[int]]] = {}
        # Sampling draws from torch's one global generator, so it takes one prompt at a time.
        self.concurrency = cores() if self.exact else 1
        self._workers: ThreadPoolExecutor | None = None
        self._pools = 0  # of workers; those of one that is closed may still be at work
        self._threads_before = 0
        self._hiring = threading.Lock()
        self._own = threading.local()  # each worker's cache of how prompts begin

    @classmethod
    def load(
        cls,
        name: str = SMOLLM2.name,
        *,
        mode: str = "score",
        temperature: float = 0.7,
        max_answer_tokens: int = 16,
        seed: int = 0,
        say: Callable[[str], None] = lambda line: None,
    ) -> LocalModel:
        """Load `smollm2` (embedded), or any causal LM by hub name or folder.

        The weights run in bfloat16 where the processor computes in it, else in float32.
        """
        # Progress bars of loading two hundred tensors in a third of a second help nobody.
        os.environ.setdefault("TQDM_DISABLE", "1")
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        # transformers does not type these two.
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        embedded = EMBEDDED_MODELS.get(name)
        folder = str(ensure_model(name, say=say)) if embedded else str(expanded(name))
        dtype = torch.bfloat16 if _computes_bfloat16() else torch.float32
        try:
            model: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, trust_remote_code=False
            )
            model.eval()
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except Exception as error:
            raise ModelError(
                f"cannot load the language model {name!r}: {error}; expected a folder, the name of "
                f"a model on a hub that this machine reaches, or {SMOLLM2.name!r}, the embedded one"
            ) from None
        return cls(
            name,
            model,
            tokenizer,
            mode=mode,
            temperature=temperature,
            max_answer_tokens=max_answer_tokens,
            seed=seed,
            weights=weights_hash(name),
            commit=getattr(model.config, "_commit_hash", None) or "",
        )

    @property
    def identity(self) -> dict[str, Any]:
        """Name, weights and number format; how it answers."""
        identity: dict[str, Any] = {
            "backend": "transformers",
            "model": self.name,
            "mode": self._mode,
            "dtype": str(self._model.dtype).removeprefix("torch."),
        }
        if self._weights:
            identity["weights_sha256"] = self._weights
        elif self._commit:
            identity["commit"] = self._commit
        if not self.exact:
            identity |= {
                "temperature": self._temperature,
                "max_answer_tokens": self._max_answer_tokens,
                "seed": self._seed,
            }
        return identity

    @property
    def remarks(self) -> tuple[str, ...]:
        """None: what it does, it does here."""
        return ()

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens under the chat template, the opening of the answer included.

        Raises:
            ModelError: if the chat format refuses the messages.
        """
        return len(self._chat.tokens(self._chat.text(messages)))

    def most_answer_tokens(self, form: str) -> int:
        """See `LanguageModel.most_answer_tokens`."""
        return 0 if self.exact else self._max_answer_tokens + FORMS[form].tokens

    def price(self, prompt_tokens: int, answer_tokens: int) -> float | None:
        """Nothing: the model runs here."""
        return 0.0

    async def ask(self, prompt: Prompt, labels: LabelSet, samples: Sequence[int]) -> list[Ballot]:
        """See `LanguageModel.ask`.

        Raises:
            SettingsError: if labels are scored and the prompt asks for more than a label.
            ModelError: if the chat format refuses the messages, the prompt is longer than what the
                model reads, or it is of a kind that cannot be asked in this way.
        """
        check_form(self, prompt.form)
        return [
            await asyncio.wrap_future(self._submit(self._answer, prompt, labels, sample))
            for sample in samples
        ]

    async def close(self) -> None:
        """Let the workers go; the model can be asked again."""
        with self._hiring:
            workers, self._workers = self._workers, None
        if workers is not None:
            import torch

            workers.shutdown()  # waits for them, while others may hire new ones
            with self._hiring:
                self._pools -= 1
                if not self._pools:
                    torch.set_num_threads(self._threads_before)

    def _submit(self, work: Callable[..., Ballot], *arguments: Any) -> Future[Ballot]:
        """Give work to one worker a core, each computing on its own.

        Beside being faster for prompts of a few hundred tokens than sharing each product among
        the cores, it makes a ballot's digits independent of how many cores there are.
        """
        with self._hiring:  # or another thread's `close` would come between
            if self._workers is None:
                import torch

                if not self._pools:
                    self._threads_before = torch.get_num_threads()
                    torch.set_num_threads(1)
                self._workers = ThreadPoolExecutor(
                    self.concurrency, initializer=torch.set_num_threads, initargs=(1,)
                )
                self._pools += 1
            return self._workers.submit(work, *arguments)

    def _answer(self, prompt: Prompt, labels: LabelSet, sample: int) -> Ballot:
        answer = self._score if self.exact else self._sample
        try:
            return answer(prompt, labels, sample)
        except ModelError:
            raise
        except Exception as error:  # whatever a model's own code raises
            self._own.kept = (None, [])  # of which some layers may have seen more than others
            advice = "choose another model"
            if self.exact:
                advice = "draw answers instead (--mode sample), or choose another model"
            raise ModelError(
                f"{self.name!r} failed at the prompt of {prompt.utterance_id!r} "
                f"({self.count_tokens(prompt.messages)} tokens, llm.mode {self._mode}): "
                f"{type(error).__name__}: {error}; lower prompt.max_tokens if it is too long for "
                f"this machine; if this kind of model does not fit, {advice}"
            ) from error

    def _check_length(self, prompt: int, answer: int) -> None:
        """Refuse more tokens than the model has positions for; an answer's last one needs none."""
        config = self._model.config.get_text_config()
        most = getattr(config, "max_position_embeddings", None)
        rotary = getattr(config, "rope_parameters", None) or {}
        if rotary.get("rope_type", "default") != "default":
            return  # stretched beyond the positions of its training
        if most and 0 < most < prompt + answer - 1:
            advice = f"set prompt.max_tokens to {most - answer + 1} or less, or "
            if most < answer:
                advice = "set llm.max_answer_tokens lower, or "
            raise ModelError(
                f"a prompt of {prompt} tokens and an answer of {answer} are more than "
                f"{self.name!r} reads, which is {most}; {advice}choose a model that reads more"
            )

    # -- scoring -----------------------------------------------------------------------------

    def _score(self, prompt: Prompt, labels: LabelSet, sample: int) -> Ballot:
        import torch

        started = time.perf_counter()
        candidates = self._candidates(labels)
        with torch.inference_mode():
            scores = self._log_likelihoods(prompt.messages, candidates)
        largest = max(scores)
        weights = [math.exp(score - largest) for score in scores]
        return Ballot(
            utterance_id=prompt.utterance_id,
            voter=self.name,
            sample=sample,
            distribution=tuple(weight / sum(weights) for weight in weights),
            log_likelihoods=tuple(scores),
            usage=Usage(
                prompt_tokens=prompt.tokens, cost=0.0, seconds=time.perf_counter() - started
            ),
        )

    def _candidates(self, labels: LabelSet) -> list[list[int]]:
        """The tokens of each label as an answer.

        Where one label's tokens begin another's, the end of the answer is scored with them, or
        the shorter label would win by being shorter.
        """
        if labels.words not in self._label_tokens:
            tokens = [self._chat.tokens(self._chat.lead + word) for word in labels.words]
            begins_another = any(
                one != other and other[: len(one)] == one for one in tokens for other in tokens
            )
            if begins_another:
                tokens = [[*one, self._tokenizer.eos_token_id] for one in tokens]
            self._label_tokens[labels.words] = tokens
        return self._label_tokens[labels.words]

    def _log_likelihoods(
        self, messages: Sequence[Message], candidates: Sequence[Sequence[int]]
    ) -> list[float]:
        """log P(candidate | messages) of each, in one pass.

        The candidates stand side by side after the prompt, as branches of a tree: each of their
        tokens sees the prompt and its own branch, and has the position it would have alone.
        """
        import torch

        cache, kept, tokens = self._split(messages, room=max(map(len, candidates)))
        asked = len(tokens)
        positions = list(range(kept, kept + asked))
        branches: list[tuple[int, int]] = []  # start and length among the new tokens
        for candidate in candidates:
            branches.append((len(tokens), len(candidate) - 1))
            positions += range(kept + asked, kept + asked + len(candidate) - 1)
            tokens += candidate[:-1]
        count = len(tokens)
        visible = torch.ones(count, kept + count, dtype=torch.bool).tril(kept)
        for start, length in branches:
            visible[start : start + length, kept + asked : kept + start] = False
        output = self._model(
            torch.tensor([tokens]),
            attention_mask=self._attention(visible, [*range(kept), *positions]),
            position_ids=torch.tensor([positions]),
            cache=cache,
            use_cache=cache is not None,
            logits_to_keep=torch.arange(asked - 1, count),
        )
        log_probabilities = torch.log_softmax(output.logits[0].float(), dim=-1)
        scores = []
        for candidate, (start, length) in zip(candidates, branches, strict=True):
            # The prompt's last token predicts the first, each token of the branch the next.
            rows = [0, *range(start - asked + 1, start - asked + 1 + length)]
            scores.append(float(log_probabilities[rows, list(candidate)].sum()))
        return scores

    def _attention(self, visible: Any, positions: Sequence[int]) -> Any:
        """What to add to attention, from which of all tokens each of the last ones may see.

        A layer with a sliding window sees only so many positions back. A model with layers of
        both kinds takes a mask for each.
        """
        import torch

        config = self._model.config.get_text_config()
        dtype = self._model.dtype
        mask = torch.zeros(1, 1, *visible.shape, dtype=dtype)
        mask.masked_fill_(~visible, torch.finfo(dtype).min)
        window = getattr(config, "sliding_window", None)
        if window is None or not getattr(config, "use_sliding_window", True):
            return mask
        at = torch.tensor(positions)
        too_far = at[-len(visible) :, None] - at >= window
        near = mask.masked_fill(too_far, torch.finfo(dtype).min)
        if not getattr(config, "layer_types", None):
            return near
        return {"full_attention": mask, "sliding_attention": near}

    def _split(self, messages: Sequence[Message], *, room: int) -> tuple[Any, int, list[int]]:
        """What is kept of all messages but the last (cache, its length), and the tokens after.

        Args:
            messages: the prompt's.
            room: tokens that are needed after it.
        """
        import torch
        from transformers import DynamicCache

        messages = self._chat.taken(messages)
        text = self._chat.text(messages)
        openings = self._chat.openings(messages, text)
        cache: Any
        steps: list[tuple[str, int]]
        cache, steps = getattr(self._own, "kept", (None, []))
        same = 0
        while same < min(len(steps), len(openings)) and steps[same][0] == openings[same]:
            same += 1
        if not same:
            # Made by us: the model's own forgets what is beyond a window and cannot be cropped.
            cache, steps = DynamicCache() if openings else None, []
        steps = steps[:same]
        done, length = steps[-1] if steps else ("", 0)
        pieces = []
        for end in [*openings[same:], text]:
            pieces.append(self._chat.tokens(end[len(done) :]))
            done = end
        self._check_length(length + sum(map(len, pieces)), room)
        if cache is not None and (added := cache.get_seq_length() - length):
            cache.crop(-added)  # what the prompt before this one left behind
        for opening, tokens in zip(openings[same:], pieces, strict=False):
            output = self._model(
                torch.tensor([tokens]), cache=cache, use_cache=True, logits_to_keep=1
            )
            cache, length = output.cache, length + len(tokens)
            steps.append((opening, length))
        self._own.kept = (cache, steps)
        return cache, length, pieces[-1]

    # -- sampling ----------------------------------------------------------------------------

    def _sample(self, prompt: Prompt, labels: LabelSet, sample: int) -> Ballot:
        import torch

        started = time.perf_counter()
        # Of nothing but the prompt, so that the same question gets the same answer anywhere.
        said = [[message.role, message.content] for message in prompt.messages]
        key = canonical_json([self._seed, said, sample]).encode()
        tokens = torch.tensor([self._chat.tokens(self._chat.text(prompt.messages))])
        room = self.most_answer_tokens(prompt.form)
        self._check_length(tokens.shape[1], room)
        with _DRAWING, torch.inference_mode():
            torch.manual_seed(int.from_bytes(hashlib.sha256(key).digest()[:7], "big"))
            output = self._model.generate(
                tokens,
                attention_mask=torch.ones_like(tokens),
                do_sample=self._temperature > 0,
                temperature=self._temperature if self._temperature > 0 else None,
                max_new_tokens=room,
                pad_token_id=self._tokenizer.eos_token_id,
            )[0, tokens.shape[1] :]
        answer = self._tokenizer.decode(output, skip_special_tokens=True)
        read = read_answer(answer, prompt.form, labels, prompt.window, prompt.further)
        return Ballot(
            utterance_id=prompt.utterance_id,
            voter=self.name,
            sample=sample,
            distribution=read.distribution,
            answer=answer,
            details=read.details,
            usage=Usage(
                prompt_tokens=prompt.tokens,
                answer_tokens=len(output),
                cost=0.0,
                seconds=time.perf_counter() - started,
            ),
        )


def _computes_bfloat16() -> bool:
    import torch

    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(check and check())
