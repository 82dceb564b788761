"""DSPy: KNNFewShot around a Predict whose label is one of the words.

By default it runs the program on up to four of the neighbours before each answer, to show its own
outputs as demonstrations (BootstrapFewShot); `dspy-labelled` shows the neighbours' labels alone.
"""

from __future__ import annotations

import os
import tempfile

from task import INSTRUCTION, Task, work


def label_all(task: Task) -> list[str | None]:
    """Each text's answer, or None."""
    os.environ["DSPY_CACHEDIR"] = tempfile.mkdtemp()  # nobody's answers of earlier runs
    import dspy
    from sentence_transformers import SentenceTransformer

    dspy.configure(lm=dspy.LM(f"openai/{task.model}", api_base=task.url, api_key="none"))
    words = ", ".join(map(repr, task.labels))
    instruction = INSTRUCTION.format(labels=", ".join(task.labels))
    signature = dspy.Signature(f"text -> label: Literal[{words}]", instruction)
    encoder = SentenceTransformer(task.embedder, device="cpu")
    how = {"max_bootstrapped_demos": 0} if os.environ.get("ONLY_LABELLED") else {}
    with task.timed("index"):
        selector = dspy.KNNFewShot(
            k=task.k,
            trainset=[
                dspy.Example(text=text, label=label).with_inputs("text")
                for text, label in task.train
            ],
            vectorizer=dspy.Embedder(encoder.encode),
            **how,
        )
        program = selector.compile(dspy.Predict(signature))
    answers: list[str | None] = []
    with task.timed("ask"):
        for text in task.asked:
            try:
                answers.append(task.label(program(text=text).label))
            except Exception as error:  # an answer that its adapters cannot read
                print(f"{type(error).__name__}: {str(error)[:200]}")
                answers.append(None)
    return answers


if __name__ == "__main__":
    work(label_all)
