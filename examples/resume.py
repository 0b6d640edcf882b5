"""Kill a search and let the same call finish it, without repeating what was done.

Needs the extra `sqlite`. The model is scripted so that it can fail on cue; any
other resumes in the same way.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from langchain_core.runnables import RunnableConfig

from langchain_qstar import QStarChain, ScriptedPolicy, open_checkpoints

QUESTION = "Tom has 4 bags of 6 apples and eats 5 apples. How many are left?"
STEPS = {
    "": ["4*6=24\n", "4+6=10\n"],
    "4*6=24\n": ["24-5=19\n"],
    "4*6=24\n24-5=19\n": ["The answer is 19.\n"],
}


def unreliable(text: str) -> Sequence[str]:
    """The script, until the machine it runs on fails."""
    if "24-5" in text:
        raise OSError("power failure")
    return STEPS.get(text, ())


def attempt(file: Path, model: ScriptedPolicy) -> str | None:
    """One process: open the file, ask, give the answer."""
    with open_checkpoints(file) as checkpointer:
        chain = QStarChain(model, "log-probability", task="nano", checkpointer=checkpointer)
        thread: RunnableConfig = {"configurable": {"thread_id": "apples"}}
        answer: str | None = chain.invoke(QUESTION, thread).answer
        return answer


def main() -> None:
    """Fail, then resume; the second run asks the model only for what is missing."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "search.sqlite"
        try:
            attempt(file, ScriptedPolicy(unreliable, logprob=-0.5))
        except OSError as error:
            print("first run:", error)
        model = ScriptedPolicy(STEPS, logprob=-0.5)
        print("second run:", attempt(file, model))
        asked = [request.state.text for batch in model.calls for request in batch]
        print("asked again about the question itself:", "" in asked)


if __name__ == "__main__":
    main()
