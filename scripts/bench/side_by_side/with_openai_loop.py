"""A plain loop: FAISS finds the demonstrations, the official client asks, one call at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from task import INSTRUCTION, Task, work


def label_all(task: Task) -> list[str | None]:
    """Each text's answer, or None."""
    import faiss
    from openai import OpenAI
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(task.embedder, device="cpu")
    with task.timed("index"):
        vectors = encoder.encode([text for text, _ in task.train], normalize_embeddings=True)
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(np.asarray(vectors))
    client = OpenAI(base_url=task.url, api_key="none")
    answers = []
    with task.timed("ask"):
        for text in task.asked:
            query = encoder.encode([text], normalize_embeddings=True)
            _, found = index.search(np.asarray(query), task.k)
            instruction = INSTRUCTION.format(labels=", ".join(task.labels))
            messages: list[Any] = [{"role": "system", "content": instruction}]
            for row in reversed(found[0].tolist()):
                shown, label = task.train[row]
                messages += [
                    {"role": "user", "content": shown},
                    {"role": "assistant", "content": label},
                ]
            messages.append({"role": "user", "content": text})
            reply = client.chat.completions.create(
                model=task.model, messages=messages, temperature=0
            )
            answers.append(task.label(reply.choices[0].message.content))
    return answers


if __name__ == "__main__":
    work(label_all)
