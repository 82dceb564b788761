"""scikit-llm: DynamicFewShotGPTClassifier, whose examples are so many of each class.

One of each of MELD's seven classes is as near to eight as it comes. Invalid answers get a label
drawn by lot by default; here they get one that can be counted.
"""

from __future__ import annotations

from task import Task, work

INVALID = "no label"


def label_all(task: Task) -> list[str | None]:
    """Each text's answer, or None."""
    from sentence_transformers import SentenceTransformer
    from skllm.config import SKLLMConfig
    from skllm.models.gpt.classification.few_shot import DynamicFewShotGPTClassifier

    SKLLMConfig.set_openai_key("none")
    SKLLMConfig.set_openai_org("none")
    SKLLMConfig.set_gpt_url(task.url)
    encoder = SentenceTransformer(task.embedder, device="cpu")

    class Vectorizer:
        """The same embedder; scikit-llm's own asks an endpoint."""

        def fit(self, texts: object) -> Vectorizer:
            return self

        def transform(self, texts: list[str]) -> object:
            return encoder.encode(list(texts))

    classifier = DynamicFewShotGPTClassifier(
        model=f"custom_url::{task.model}",
        n_examples=max(1, task.k // len(task.labels)),
        vectorizer=Vectorizer(),
        default_label=INVALID,
    )
    with task.timed("index"):
        classifier.fit([text for text, _ in task.train], [label for _, label in task.train])
    with task.timed("ask"):
        answers = classifier.predict(task.asked)
    return [task.label(answer) for answer in answers]


if __name__ == "__main__":
    work(label_all)
