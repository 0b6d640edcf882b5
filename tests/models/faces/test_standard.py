"""LangChain's own tests of chat models.

Where a test asks for the right argument of a tool or a joke about cats, no small model
passes it. There the same chat model, with the same chat template, grammars and parsers,
runs over an engine whose model writes what a script says (`SCRIPTS`); everything else
is asked of the model itself. Nothing is overridden.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_qstar import ChatLocal, resolve_policy
from langchain_qstar.models.faces.tool_calls import OURS, format_of

JOKE = json.dumps({"setup": "Why do cats purr?", "punchline": "They run on batteries."})


def call(name: str, **arguments: Any):
    """A script: a call, as the model of a template writes it."""
    return lambda form: lambda prompt: form.written([{"name": name, "args": arguments, "id": None}])


def joke(form):
    return lambda prompt: JOKE


def weather(form):
    asked = call("get_weather", location="San Francisco, CA")(form)
    return lambda prompt: "It is sunny." if "It's sunny." in prompt else asked(prompt)


def customer(form):
    chinese, japanese = (
        call("unicode_customer", customer_name=name, description="a company")(form)
        for name in ("你好啊集团", "こんにちは株式会社")
    )
    return lambda prompt: chinese(prompt) if "你好" in prompt else japanese(prompt)


SCRIPTS = {
    "test_tool_calling": call("magic_function", input=3),
    "test_tool_calling_async": call("magic_function", input=3),
    "test_tool_calling_with_no_arguments": call("magic_function_no_args"),
    "test_tool_choice": call("magic_function", input=3),
    "test_bind_runnables_as_tools": call("greeting_generator", answer_style="pirate"),
    "test_unicode_tool_call_integration": customer,
    "test_agent_loop": weather,
    "test_structured_output": joke,
    "test_structured_output_async": joke,
    "test_structured_output_pydantic_2_v1": joke,
    "test_structured_output_optional_param": joke,
    "test_json_mode": joke,
}


class Local:
    """A model under test; another backend is another `spec`."""

    spec: ClassVar[str] = "nano"

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLocal

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": self.spec, "seed": 1}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "nano"

    @property
    def supported_usage_metadata_details(self) -> dict[str, list[str]]:
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    def invoke_with_cache_read_input(self, *, stream: bool = False):
        model = ChatLocal(self.spec, max_tokens=4)
        model.invoke("Hello")
        if not stream:
            return model.invoke("Hello")
        chunks = list(model.stream("Hello"))
        return sum(chunks[1:], chunks[0])

    @pytest.fixture
    def model(self, request, scripted) -> BaseChatModel:
        params = {**self.standard_chat_model_params, **self.chat_model_params, "max_tokens": 40}
        given = {**params, **(getattr(request, "param", None) or {})}
        if script := SCRIPTS.get(request.node.originalname):
            policy = resolve_policy(self.spec)
            reply = script(format_of(policy.codec) or OURS)
            given |= {"model": scripted(reply, like=policy), "max_tokens": 400}
        return self.chat_model_class(**given)


@pytest.mark.nano
class TestUnits(Local, ChatModelUnitTests):
    pass


@pytest.mark.nano
class TestNano(Local, ChatModelIntegrationTests):
    pass


@pytest.fixture(scope="class")
def on_llamacpp(request, nano_gguf):
    """Has the class test the bundled model as a GGUF file."""
    pytest.importorskip("llama_cpp", reason="needs the extra llamacpp")
    request.cls.spec = f"gguf:{nano_gguf}"


@pytest.mark.nano
@pytest.mark.usefixtures("on_llamacpp")
class TestUnitsOnLlamaCpp(Local, ChatModelUnitTests):
    pass


@pytest.mark.nano
@pytest.mark.usefixtures("on_llamacpp")
class TestNanoOnLlamaCpp(Local, ChatModelIntegrationTests):
    pass
