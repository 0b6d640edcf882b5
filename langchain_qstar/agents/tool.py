"""A search as a tool of an agent."""

from __future__ import annotations

from typing import Any, Final, Literal

from langchain_core.tools import BaseTool, ToolException
from pydantic import BaseModel, Field, SkipValidation, ValidationError

from langchain_qstar.agents.solving import asolved, solved
from langchain_qstar.agents.wording import report_of
from langchain_qstar.chains import QStarChain, SolverChain
from langchain_qstar.errors import CheckError, ModelError, QStarError, QuestionError, SettingsError
from langchain_qstar.solution import Solution

DESCRIPTION: Final = (
    "Works out the answer to a question that takes several steps of reasoning, such as a "
    "word problem, by a search over steps that checks its calculations. Ask one "
    "self-contained question in plain words, with every number and fact it needs: nothing "
    "else of this conversation is known to it. Ask several questions at once by several calls."
)


_FOR_THE_AGENT: Final = (QuestionError, ModelError, CheckError)
"""Errors that an agent can act on. Others are mistakes of whoever made the agent."""


class SolveArguments(BaseModel):
    """What an agent passes."""

    question: str = Field(description="the question, self-contained and in plain words")


class SolverTool(BaseTool):
    """What `create_qstar_tool` returns."""

    args_schema: Any = SolveArguments
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"
    chain: SkipValidation[SolverChain]
    """Solves the questions; its result is a `Solution`."""

    def _run(self, question: str) -> tuple[str, Solution]:
        # No config is passed on: the tool's own, with its run as the parent, is ambient.
        try:
            return _told(solved(self.chain, question))
        except _FOR_THE_AGENT as error:
            if not self.handle_tool_error:
                raise
            raise ToolException(_advice(error)) from error

    async def _arun(self, question: str) -> tuple[str, Solution]:
        try:
            return _told(await asolved(self.chain, question))
        except _FOR_THE_AGENT as error:
            if not self.handle_tool_error:
                raise
            raise ToolException(_advice(error)) from error


def create_qstar_tool(
    chain: SolverChain | None = None,
    *,
    name: str = "solve",
    description: str = DESCRIPTION,
    raise_errors: bool = False,
    **options: Any,
) -> BaseTool:
    """A tool that answers a question by search, for `create_agent` and its like.

    The content of its message is the answer, what is known about it, and the steps
    in short; the artifact is the whole `Solution`. (Read back from a checkpoint by
    a LangGraph that is strict about types it is the same as plain data;
    `Solution.model_validate(message.artifact)` takes either.) Calls of one turn run
    together and share the batches of the policy's engine. Inside an agent with a
    checkpointer a search that was killed goes on where it was; its events are on
    the agent's stream, `stream_mode="custom"`.

    Args:
        chain: What solves: `QStarChain` or any other `SolverChain`, whatever its
            `output`. None makes a `QStarChain` from `options`.
        name: What the agent calls it.
        description: When the agent should call it, and how.
        raise_errors: By default what an agent can act on becomes the tool's message,
            with status `error`: a question that is missing, empty or too long, a model
            or a check that failed. True raises it, so that the agent ends. Any other
            error is raised always.
        options: Arguments of `QStarChain`.

    Returns:
        The tool, for blocking and for async agents.

    Raises:
        SettingsError: There are a chain and options, or `chain` is something else.
        InputError: The options cannot be used.
    """
    if chain is not None and options:
        raise SettingsError(
            f"a chain is given, and {', '.join(options)} besides; give these to the chain"
        )
    if not isinstance(chain, SolverChain | None):
        raise SettingsError(
            f"chain={chain!r:.60} is no chain of this package; "
            "give the arguments of QStarChain by their names, such as policy=..."
        )
    return SolverTool(
        name=name,
        description=description,
        chain=(chain or QStarChain(**options)).returning("solution"),
        handle_tool_error=not raise_errors,
        handle_validation_error=False if raise_errors else _misuse,
    )


def _told(solution: Solution) -> tuple[str, Solution]:
    return report_of(solution), solution


def _advice(error: QStarError) -> str:
    if isinstance(error, QuestionError):
        return f"This question cannot be asked: {error}"
    return f"The search failed: {error}. Ask again, or answer without it."


def _misuse(error: Any) -> str:
    problem = error.errors()[0] if isinstance(error, ValidationError) else {"msg": str(error)}
    return (
        f"This call cannot be used: question: {problem['msg']}. "
        'Pass {"question": "..."}, the question as one text.'
    )
