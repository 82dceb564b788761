"""LangChain: SemanticSimilarityExampleSelector over FAISS, a few-shot chat prompt, `batch`."""

from __future__ import annotations

from task import INSTRUCTION, Task, work


def label_all(task: Task) -> list[str | None]:
    """Each text's answer, or None."""
    from langchain_community.vectorstores import FAISS
    from langchain_core.example_selectors import SemanticSimilarityExampleSelector
    from langchain_core.output_parsers import StrOutputParser
    from langchain_core.prompts import ChatPromptTemplate, FewShotChatMessagePromptTemplate
    from langchain_huggingface import HuggingFaceEmbeddings
    from langchain_openai import ChatOpenAI

    embeddings = HuggingFaceEmbeddings(
        model_name=task.embedder, model_kwargs={"device": "cpu"}, show_progress=False
    )
    with task.timed("index"):
        selector = SemanticSimilarityExampleSelector.from_examples(
            [{"input": text, "output": label} for text, label in task.train],
            embeddings,
            FAISS,
            k=task.k,
            input_keys=["input"],
        )
    shown = FewShotChatMessagePromptTemplate(
        example_selector=selector,
        input_variables=["input"],
        example_prompt=ChatPromptTemplate.from_messages([("human", "{input}"), ("ai", "{output}")]),
    )
    instruction = INSTRUCTION.format(labels=", ".join(task.labels))
    prompt = ChatPromptTemplate.from_messages(
        [("system", instruction), shown, ("human", "{input}")]
    )
    model = ChatOpenAI(model=task.model, base_url=task.url, api_key="none", temperature=0)
    chain = prompt | model | StrOutputParser()
    with task.timed("ask"):
        answers = chain.batch([{"input": text} for text in task.asked])
    return [task.label(answer) for answer in answers]


if __name__ == "__main__":
    work(label_all)
