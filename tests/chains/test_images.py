"""A question that shows an image: every model sees it, and it stays with the search."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig

from langchain_qstar.agents import ChatQStar
from langchain_qstar.chains import (
    BestOfNChain,
    GreedyChain,
    QStarChain,
    RStarChain,
    SelfConsistencyChain,
)
from langchain_qstar.errors import QuestionError, ThreadError
from langchain_qstar.models.scripted import ScriptedPolicy
from langchain_qstar.models.scripted_chat import ScriptedChatModel
from langchain_qstar.nodes.tracing import traced_input, traced_output
from langchain_qstar.scoring.judge import JudgeScorer
from langchain_qstar.solution import Solution

# Chat models give no log-probabilities, which is not what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore::langchain_qstar.errors.UnguidedWarning")
THREAD: RunnableConfig = {"configurable": {"thread_id": "t"}}
PICTURE = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
OTHER = {"type": "image", "url": "https://a.b/c.png"}
TEXT = {"type": "text", "text": "How many pens are in the picture?"}
ASKED = HumanMessage([TEXT, PICTURE])


def sees(messages: list[Any]) -> str:
    """A model that counts pens where it is shown a picture."""
    content = messages[-1].content
    shown = isinstance(content, list) and PICTURE in content
    return "The answer is 3." if shown else "I see no picture."


def model() -> ScriptedChatModel:
    return ScriptedChatModel(sees)


def unsure() -> ScriptedChatModel:
    """Sometimes it counts wrong, so that there is something to verify."""
    turns = count()

    def says(messages: list[Any]) -> str:
        return sees(messages).replace("3", "4" if next(turns) % 2 else "3")

    return ScriptedChatModel(says)


SMALL: Any = {"num_rollouts": 3, "num_votes": 2, "num_last_votes": 2, "verify": "during"}
CHAINS: dict[str, Any] = {
    "qstar": lambda **o: QStarChain(model(), settings={"num_trajectories": 1}, **o),
    "verified": lambda **o: QStarChain(
        unsure(), verifier=model(), settings={"verify": "after"}, **o
    ),
    "judged": lambda **o: QStarChain(
        model(), JudgeScorer(ScriptedChatModel(lambda m: f"Grade: {5 * len(m[-1].content)}")), **o
    ),
    "rstar": lambda **o: RStarChain(model(), settings=SMALL, **o),
    "greedy": lambda **o: GreedyChain(model(), **o),
    "self-consistency": lambda **o: SelfConsistencyChain(model(), n=2, **o),
    "best-of-n": lambda **o: BestOfNChain(model(), "agreement", n=2, **o),
}
MACHINES = {name: CHAINS[name] for name in ("qstar", "rstar")}


@pytest.mark.parametrize("name", CHAINS)
async def test_every_method_shows_the_image_to_its_models_and_keeps_it(name: str):
    chain = CHAINS[name](task="gsm8k")
    for solution in (
        chain.invoke([AIMessage("Hello."), ASKED]),
        await chain.ainvoke({"question": TEXT["text"], "images": [PICTURE]}),
    ):
        assert solution.answer == "3"
        assert solution.images == (PICTURE,)
        assert solution.question == TEXT["text"]
        assert Solution.model_validate_json(solution.model_dump_json()) == solution
    assert chain.invoke(TEXT["text"]).answer is None


def test_a_verifier_and_a_judge_see_it_too():
    verified = CHAINS["verified"](task="gsm8k").invoke(ASKED)
    assert (verified.answer, verified.agreed) == ("3", True)
    judged = CHAINS["judged"](task="gsm8k").invoke(ASKED)
    assert judged.steps[0].q == 1.0  # a content of two blocks, so a grade of 10


def test_an_image_may_be_all_that_is_asked():
    assert CHAINS["qstar"](task="gsm8k").invoke(HumanMessage([PICTURE])).answer == "3"


@pytest.mark.parametrize("name", MACHINES)
def test_the_image_is_part_of_what_a_thread_holds(name: str, saver: Any):
    chain = MACHINES[name](task="gsm8k", checkpointer=saver)
    first = chain.invoke(ASKED, THREAD)
    again = MACHINES[name](task="gsm8k", checkpointer=saver)
    for stored in (again.invoke(ASKED, THREAD), again.resume("t")):
        assert (stored.images, stored.answer, stored.tree) == ((PICTURE,), "3", first.tree)
    other = chain.invoke({"question": TEXT["text"], "images": [OTHER]}, THREAD)
    assert (other.images, other.answer) == ((OTHER,), None)
    assert chain.invoke(TEXT["text"], THREAD).images == ()


@pytest.mark.parametrize("name", MACHINES)
def test_a_killed_search_goes_on_with_its_image_and_with_no_other(
    name: str, saver: Any, killed: Any
):
    dying = ScriptedChatModel(sees)
    chain = MACHINES[name](task="gsm8k", checkpointer=saver)

    def die(messages: list[Any]) -> str:
        if len(dying.calls) > 3:
            raise killed
        return "3 pens." if PICTURE in messages[-1].content else "none."

    dying.turns = die
    kind = type(chain)
    with pytest.raises(killed):
        kind(dying, task="gsm8k", settings=chain.settings, checkpointer=saver).invoke(ASKED, THREAD)
    with pytest.raises(ThreadError, match="other images"):
        chain.invoke({"question": TEXT["text"], "images": [OTHER]}, THREAD)
    with pytest.raises(ThreadError, match="other images"):
        chain.invoke(TEXT["text"], THREAD)
    resumed = chain.resume("t")
    assert (resumed.images, resumed.answer) == ((PICTURE,), "3")


@pytest.mark.parametrize("kind", [QStarChain, RStarChain, GreedyChain])
def test_a_model_that_reads_text_only_is_not_asked(kind: Any):
    policy = ScriptedPolicy({})
    with pytest.raises(QuestionError, match="scripted reads text only") as refused:
        kind(policy).invoke(ASKED)
    assert "\n" not in str(refused.value)
    assert not policy.calls


def test_a_verifier_that_reads_text_only_is_refused_beforehand():
    blind = ScriptedPolicy({}, name="blind")
    chain = RStarChain(model(), verifier=blind, task="gsm8k", settings=SMALL)
    with pytest.raises(QuestionError, match="blind reads text only"):
        chain.invoke(ASKED)


@pytest.mark.nano
def test_the_bundled_model_says_that_it_reads_text_only():
    for chain in (QStarChain(), RStarChain(settings=SMALL)):
        with pytest.raises(QuestionError, match="nano reads text only"):
            chain.invoke(ASKED)


def test_a_chat_model_that_answers_by_search_passes_it_on():
    chat = ChatQStar(QStarChain(model(), task="gsm8k", settings={"num_trajectories": 1}))
    message = chat.invoke([ASKED])
    assert message.response_metadata["answer"] == "3"
    assert "images" not in message.response_metadata


def test_traces_and_the_metadata_of_messages_do_not_hold_it():
    posted: list[Any] = []
    chain = CHAINS["rstar"](task="gsm8k")
    for task in chain.graph.stream(
        {"question": "q", "images": [PICTURE]}, {"recursion_limit": 99}, stream_mode="tasks"
    ):
        posted += [traced_input(task["input"])] if "input" in task else []
    root = {"id": "0", "run": {"question": "q", "images": [PICTURE]}}
    posted.append(traced_output({"nodes": {"0": root}, "solution": {"images": [PICTURE]}}))
    assert len(posted) > 5
    assert PICTURE["base64"] not in json.dumps(posted, default=str)


def test_an_image_is_stored_once_however_long_the_search(tmp_path: Any):
    sqlite = pytest.importorskip("langgraph.checkpoint.sqlite")
    large = {**PICTURE, "base64": "A" * 400_000}
    sizes = {}
    for rollouts in (1, 6):
        path = tmp_path / f"{rollouts}.sqlite"
        with sqlite.SqliteSaver.from_conn_string(str(path)) as saver:
            settings = {**SMALL, "num_rollouts": rollouts}
            chain = RStarChain(model(), task="gsm8k", settings=settings, checkpointer=saver)
            chain.invoke({"question": "q", "images": [large]}, THREAD)
        sizes[rollouts] = path.stat().st_size
    assert sizes[6] - sizes[1] < 400_000
