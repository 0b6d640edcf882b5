"""The bundled model as a LangChain chat model: streaming, JSON of a schema, calls of tools.

What an answer must look like is enforced while it is drawn, so even this small model, which
has never seen JSON, writes nothing else. It still has to know what to say: here it solves the
problem in its own words first, and puts the result into JSON after them.
"""

from __future__ import annotations

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from langchain_qstar import ChatLocal

QUESTION = "Ann has 3 boxes with 4 pens each. She gives away 5 pens. How many pens does she have?"


class Result(BaseModel):
    """What the model found."""

    sentence: str = Field(pattern=r"^The answer is \d+\.$")


@tool
def give_away(number: int) -> str:
    """Give away some pens."""
    return f"{number} pens are gone"


def main() -> None:
    """Ask, and ask again for the same in another form."""
    chat = ChatLocal("nano", temperature=0)
    for chunk in chat.stream(QUESTION):
        print(chunk.text, end="", flush=True)

    solution = chat.invoke(QUESTION)
    print(solution.usage_metadata)

    # The last message is the model's own, so it goes on from there.
    result = chat.with_structured_output(Result).invoke([HumanMessage(QUESTION), solution])
    print(repr(result))

    # That it calls the tool is certain; that it gives away the right number is not.
    called = chat.bind_tools([give_away], tool_choice="give_away").invoke(QUESTION)
    print([call["name"] for call in called.tool_calls])


if __name__ == "__main__":
    main()
