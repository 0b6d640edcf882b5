"""Search with a retriever: passages are steps, with their source.

The model is scripted so that it knows nothing but what it reads; the retriever may be any
of LangChain's.
"""

from __future__ import annotations

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from langchain_qstar import QStarChain, ScriptedPolicy


class Shelf(BaseRetriever):
    """Finds the same passage for every question."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        return [Document("A crate has 4 rows of 6 bottles.", metadata={"source": "crates.txt"})]


def reads(text: str) -> list[str]:
    """A model that has to be told how large a crate is."""
    if "4*6=24" in text:
        return ["The answer is 24.\n"]
    return ["4*6=24\n" if "4 rows" in text else "I do not know.\n"]


def main() -> None:
    """Answer with a passage, and show which."""
    chain = QStarChain(
        ScriptedPolicy(reads),
        None,
        task="nano",
        retriever=Shelf(),
        settings={"actions": ("propose_step", "retrieve"), "max_pops": 8},
    )
    solution = chain.invoke("How many bottles does a crate hold?")
    print("answer:", solution.answer)
    for step in solution.steps:
        print(step.text.rstrip(), "<-", [passage.metadata for passage in step.passages])


if __name__ == "__main__":
    main()
