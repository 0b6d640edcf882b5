from __future__ import annotations

import asyncio
import json

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_qstar import ChatLocal, GrammarError, ModelSpecError, QuestionError, SettingsError
from langchain_qstar.models.engine.text import TextCodec
from langchain_qstar.models.faces.tool_calls import OURS


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def now() -> str:
    """Tell the time."""
    return "noon"


@tool
def say(x: str) -> str:
    """Say it."""
    return x


def written(tool_name, **arguments):
    return OURS.written([{"name": tool_name, "args": arguments, "id": None}])


ANN = '{"name": "Ann", "age": 7}'
ADD = written("add", a=1, b=2)


@pytest.fixture
def chat(scripted):
    """A chat model that replies as a script says."""

    def make(reply, **settings):
        return ChatLocal(scripted(reply), **settings)

    return make


def backend_of(model):
    return model._policy._backend


def collected(chunks):
    total, *others = chunks
    for chunk in others:
        total += chunk
    return total


class TestAnswers:
    def test_an_answer_says_what_it_cost_and_how_it_ended(self, chat):
        message = chat("One two.").invoke("Count.")
        assert message.content == "One two."
        assert message.response_metadata == {"model_name": "scripted", "finish_reason": "stop"}
        usage = message.usage_metadata
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]

    def test_the_stop_string_is_left_out_and_that_of_the_call_counts(self, chat):
        model = chat("One. Two! Three", stop=["!"])
        assert model.invoke("Count.").content == "One. Two"
        assert model.invoke("Count.", stop=["."]).content == "One"
        assert model.bind(stop=["T"]).invoke("Count.").content == "One. "
        assert model.invoke("Count.", stop=[]).content == "One. Two! Three"

    def test_an_answer_that_is_cut_says_so(self, chat):
        message = chat("One two three four five").invoke("Count.", max_tokens=2)
        assert message.response_metadata["finish_reason"] == "length"

    def test_log_probabilities_cover_the_text(self, chat):
        message = chat("One. Two").invoke("Count.", logprobs=True, stop=["."])
        content = message.response_metadata["logprobs"]["content"]
        assert "".join(each["token"] for each in content) == message.content == "One"
        assert {each["logprob"] for each in content} == {-0.25}

    def test_the_most_probable_tokens_are_told_at_every_place(self, chat):
        model = chat("One. Two", top_logprobs=2, stop=["."])
        message = model.invoke("Count.")
        content = message.response_metadata["logprobs"]["content"]
        assert "".join(each["token"] for each in content) == "One"
        for place in content:
            first, second = place["top_logprobs"]
            assert (first["token"], first["logprob"]) == (place["token"], place["logprob"])
            assert second["logprob"] == -1.25
        streamed = collected(model.stream("Count.")).response_metadata["logprobs"]
        assert streamed["content"] == content
        assert "logprobs" not in model.invoke("Count.", top_logprobs=0).response_metadata

    def test_several_answers_come_by_generate(self, chat):
        result = chat("One", n=3).generate([[HumanMessage("?")]])
        assert [each.text for each in result.generations[0]] == ["One"] * 3

    def test_a_cached_answer_is_not_computed_again(self, chat):
        model = chat("One", cache=InMemoryCache())
        assert model.invoke("?").content == model.invoke("?").content
        assert len(backend_of(model).prompts) == 1


class TestStreams:
    def test_joined_chunks_are_the_answer(self, chat):
        model = chat("One, two, three", stop=[" three"], logprobs=True)
        chunks = list(model.stream("Count."))
        message = model.invoke("Count.")
        total = collected(chunks)
        assert len(chunks) > 3
        assert total.content == message.content == "One, two,"
        assert total.response_metadata == message.response_metadata
        assert total.usage_metadata["output_tokens"] == message.usage_metadata["output_tokens"]
        assert [chunk.chunk_position for chunk in chunks if chunk.chunk_position] == ["last"]

    async def test_async_chunks_are_the_same(self, chat):
        model = chat("One, two, three")
        chunks = [chunk async for chunk in model.astream("Count.")]
        assert [c.content for c in chunks] == [c.content for c in model.stream("Count.")]

    async def test_leaving_a_stream_frees_its_row(self, chat):
        model = chat("word " * 500)
        async for _ in model.astream("Talk."):
            break
        for _ in model.stream("Talk."):
            break
        await asyncio.sleep(0)  # the loop closes what was left
        await model.ainvoke("Talk.", max_tokens=1)
        await model.ainvoke("Talk.", max_tokens=3)
        assert backend_of(model)._rest == []

    def test_invoke_streams_to_callbacks_when_asked(self, chat):
        class Listener(BaseCallbackHandler):
            def __init__(self):
                self.tokens = []

            def on_llm_new_token(self, token, **_):
                self.tokens.append(token)

        listener = Listener()
        message = chat("One two", streaming=True).invoke("?", config={"callbacks": [listener]})
        assert "".join(listener.tokens) == message.content == "One two"

    def test_a_call_is_told_while_it_is_written_and_never_as_text(self, chat):
        model = chat("I add." + ADD).bind_tools([add])
        chunks = list(model.stream("1+2?"))
        assert "".join(chunk.content for chunk in chunks) == "I add."
        told = [each for chunk in chunks for each in chunk.tool_call_chunks]
        assert (told[0]["name"], told[0]["args"]) == ("add", "")
        assert "".join(each["args"] or "" for each in told) == '{"a": 1, "b": 2}'
        assert len(told) > 5
        assert [each["id"] is None for each in told] == [False] + [True] * (len(told) - 1)
        message = collected(chunks)
        assert [(c["name"], c["args"]) for c in message.tool_calls] == [("add", {"a": 1, "b": 2})]
        assert message.response_metadata["finish_reason"] == "tool_calls"

    async def test_several_calls_are_told_one_after_the_other(self, chat):
        calls = [("now", {}), ("add", {"a": 1, "b": 2}), ("now", {})]
        text = OURS.written([{"name": name, "args": args, "id": None} for name, args in calls])
        model = chat(text).bind_tools([add, now], tool_choice="any")
        chunks = [chunk async for chunk in model.astream("?")]
        told = [each["index"] for chunk in chunks for each in chunk.tool_call_chunks]
        assert told == sorted(told)
        message = collected(chunks)
        assert [(c["name"], c["args"]) for c in message.tool_calls] == calls
        assert len({c["id"] for c in message.tool_calls}) == 3

    def test_what_only_begins_like_a_call_is_told_after_all(self, chat):
        model = chat("5 <tool_cat> <to").bind_tools([add])
        assert collected(model.stream("?")).content == "5 <tool_cat> <to"

    def test_a_call_that_is_cut_is_no_call(self, chat):
        model = chat(ADD).bind_tools([add], tool_choice="any")
        message = model.invoke("?", max_tokens=30)
        assert message.tool_calls == []
        assert message.invalid_tool_calls[0]["args"].startswith(OURS.opening)
        assert message.response_metadata["finish_reason"] == "length"

    def test_wherever_a_call_is_cut_its_chunks_join_to_no_call(self, chat):
        twice = OURS.written([{"name": "say", "args": {"x": '}"\\'}, "id": None}] * 2)
        model = chat(twice).bind_tools([say], tool_choice="any")
        whole = model.invoke("?", max_tokens=400).usage_metadata["output_tokens"]
        for size in range(1, whole):
            message = collected(model.stream("?", max_tokens=size))
            same = model.invoke("?", max_tokens=size)
            assert [each["args"] for each in message.tool_calls] == [
                each["args"] for each in same.tool_calls
            ]
            assert bool(message.invalid_tool_calls) == bool(same.invalid_tool_calls)


class TestBatches:
    QUESTIONS = tuple(f"Question {number}?" for number in range(12))

    def echo(self, prompt):
        return "Answer " + prompt.split("Question ")[1].split("?")[0] + " and some more words"

    def held(self, chat, calls):
        """A model that begins when so many calls have come."""
        model = chat(self.echo)
        engine, come = model._policy._engine, []
        submit = engine.submit

        def noting(payload):
            come.append(payload)
            return submit(payload)

        engine.submit = noting
        backend_of(model).may_begin = lambda: len(come) >= calls
        return model

    def expected(self):
        return [f"Answer {number} and some more words" for number in range(12)]

    def test_a_batch_runs_together(self, chat):
        model = self.held(chat, 12)
        assert [each.content for each in model.batch([*self.QUESTIONS])] == self.expected()
        assert max(backend_of(model).widths) == 12

    def test_so_do_the_prompts_of_generate(self, chat):
        model = self.held(chat, 12)
        result = model.generate([[HumanMessage(question)] for question in self.QUESTIONS])
        assert [group[0].text for group in result.generations] == self.expected()
        assert max(backend_of(model).widths) == 12
        assert result.run is not None
        assert len({run.run_id for run in result.run}) == 12

    async def test_and_those_of_abatch(self, chat):
        model = self.held(chat, 12)
        answers = await model.abatch([*self.QUESTIONS])
        assert [each.content for each in answers] == self.expected()
        assert max(backend_of(model).widths) == 12

    def test_a_limit_of_the_caller_holds(self, chat):
        model = chat(self.echo)
        model.batch([*self.QUESTIONS], config={"max_concurrency": 2})
        assert max(backend_of(model).widths) <= 2

    def test_no_input_is_no_answer(self, chat):
        assert chat("x").batch([]) == []

    def test_one_failure_may_be_returned(self, scripted):
        model = ChatLocal(scripted("x", window=40))
        good, bad = model.batch(["?", "long " * 50], return_exceptions=True)
        assert good.content == "x"
        assert isinstance(bad, QuestionError)


class TestTools:
    def test_a_call_is_a_tool_call(self, chat):
        message = chat(ADD).bind_tools([add, now], tool_choice="any").invoke("1+2?")
        assert message.content == ""
        assert [(c["name"], c["args"]) for c in message.tool_calls] == [("add", {"a": 1, "b": 2})]
        assert message.response_metadata["finish_reason"] == "tool_calls"

    def test_the_model_is_shown_the_tools_and_what_came_of_a_call(self, chat):
        model = chat("3")
        asked = model.bind_tools([add]).invoke("1+2?")
        called = AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "7"}])
        model.bind_tools([add]).invoke(
            [HumanMessage("1+2?"), called, add.invoke(called.tool_calls[0])]
        )
        assert asked.tool_calls == []
        first, second = backend_of(model).prompts
        assert "Add two numbers." in first
        assert ADD in second
        assert "<tool_response>\n3\n</tool_response>" in second

    def test_a_free_model_may_talk(self, chat):
        message = chat("Three.").bind_tools([add]).invoke("1+2?")
        assert (message.content, message.tool_calls) == ("Three.", [])

    def test_a_model_that_must_call_does_whatever_it_would_say(self, chat):
        model = chat("Three.").bind_tools([now], tool_choice="any", parallel_tool_calls=False)
        assert [call["name"] for call in model.invoke("?").tool_calls] == ["now"]

    def test_a_named_tool_is_called_once(self, chat):
        twice = OURS.written([{"name": "now", "args": {}, "id": None}] * 2)
        assert (
            len(chat(twice).bind_tools([add, now], tool_choice="now").invoke("?").tool_calls) == 1
        )
        assert (
            len(chat(twice).bind_tools([add, now], tool_choice="any").invoke("?").tool_calls) == 2
        )

    def test_without_a_choice_tools_are_shown_and_not_called(self, chat):
        model = chat("Well. " + ADD)
        message = model.bind_tools([add], tool_choice="none").invoke("?")
        assert (message.content, message.tool_calls) == ("Well. " + ADD, [])
        assert "Add two numbers." in backend_of(model).prompts[0]

    def test_a_template_that_has_a_place_for_tools_shows_them_in_its_way(
        self, scripted, make_tokenizer
    ):
        template = (
            "{% for t in tools or [] %}TOOL {{ t.function.name }}\n{% endfor %}"
            "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
            "{% for c in m.tool_calls or [] %}[CALL]{{ c.function | tojson }}[END]{% endfor %}"
            "<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
        )

        codec = TextCodec(make_tokenizer(template=template))

        policy = scripted('[CALL]{"name": "add", "arguments": {"a": 1, "b": 2}}[END]', like=codec)
        message = ChatLocal(policy).bind_tools([add]).invoke("1+2?")
        assert policy._backend.prompts == ["TOOL add\n<|user|>1+2?<|end|><|assistant|>"]
        assert message.tool_calls[0]["args"] == {"a": 1, "b": 2}

    def test_what_is_no_tool_is_refused(self, chat):
        with pytest.raises(GrammarError, match="3 is no tool"):
            chat("").bind_tools([3])
        with pytest.raises(GrammarError, match="runs at its provider"):
            chat("").bind_tools([{"type": "web_search_preview"}])
        with pytest.raises(GrammarError, match="no such tool; tools: add"):
            chat("").bind_tools([add], tool_choice="subtract")

    def test_a_tool_that_cannot_be_enforced_to_the_letter_is_refused_when_strict(self, chat):
        odd = {
            "name": "odd",
            "description": "",
            "parameters": {"type": "object", "properties": {"x": {"not": {"type": "string"}}}},
        }
        model = chat(written("odd", x=1))
        assert model.bind_tools([odd], tool_choice="odd").invoke("?").tool_calls
        with pytest.raises(GrammarError, match="not"):
            model.bind_tools([odd], tool_choice="odd", strict=True).invoke("?")


class TestStructure:
    @pytest.mark.parametrize(
        ("method", "reply"),
        [
            ("json_schema", ANN),
            ("json_mode", ANN),
            ("function_calling", written("Person", name="Ann", age=7)),
        ],
    )
    def test_all_methods_give_an_instance_and_a_dict_for_a_schema(self, chat, method, reply):
        model = chat(reply)
        ann = Person(name="Ann", age=7)
        assert model.with_structured_output(Person, method=method).invoke("Who?") == ann
        schema = Person.model_json_schema()
        given = model.with_structured_output(schema, method=method).invoke("Who?")
        assert given == ann.model_dump()

    def test_the_schema_is_enforced_and_json_mode_enforces_json_only(self, chat):
        model = chat('{"name": "Ann"}')
        assert json.loads(model.bind(response_format={"type": "json_object"}).invoke("?").text) == {
            "name": "Ann"
        }
        forced = model.with_structured_output(Person, include_raw=True).invoke("?", max_tokens=60)
        assert forced["raw"].text.startswith('{"name": "Ann", "age": ')

    def test_partial_dicts_are_streamed(self, chat):
        schema = Person.model_json_schema()
        *partial, last = chat(ANN).with_structured_output(schema).stream("Who?")
        assert {} in partial
        assert last == {"name": "Ann", "age": 7}

    def test_an_answer_that_is_cut_is_told_and_not_made_up(self, chat):
        model = chat(ANN, max_tokens=8)
        with pytest.raises(OutputParserException):
            model.with_structured_output(Person).invoke("Who?")
        told = model.with_structured_output(Person, include_raw=True).invoke("Who?")
        assert told["parsed"] is None
        assert isinstance(told["parsing_error"], OutputParserException)

    def test_tools_and_a_schema_go_together(self, chat):
        wanted = {"type": "json_schema", "json_schema": {"schema": Person.model_json_schema()}}
        bound = {"tools": [add], "response_format": wanted}
        assert chat(ANN).bind_tools(**bound).invoke("?").text == ANN
        assert chat(ADD).bind_tools(**bound).invoke("?").tool_calls[0]["name"] == "add"
        assert not chat("Hello").bind_tools(**bound).invoke("?", max_tokens=5).text.startswith("H")

    @pytest.mark.parametrize(
        ("given", "error", "message"),
        [
            ({"schema": Person, "method": "xml"}, SettingsError, "choose json_schema"),
            ({"schema": Person, "method": "json_mode", "strict": True}, SettingsError, "strict"),
            ({"schema": None}, SettingsError, "needs a schema"),
            ({"schema": {"a": 1}}, GrammarError, "is no JSON schema"),
            ({"schema": {"a": 1}, "method": "function_calling"}, GrammarError, "is no tool"),
        ],
    )
    def test_what_cannot_be_asked_is_refused(self, chat, given, error, message):
        with pytest.raises(error, match=message) as caught:
            chat("").with_structured_output(**given)
        assert "\n" not in str(caught.value)

    def test_a_schema_that_cannot_be_a_grammar_is_refused_before_anything_runs(self, chat):
        model = chat("x")
        pattern = {"type": "string", "pattern": "(?=a)b"}
        with pytest.raises(GrammarError, match="look-around"):
            model.with_structured_output(pattern).invoke("?")
        assert backend_of(model).prompts == []

    def test_a_grammar_of_its_own_does_not_go_with_another(self, chat):
        model = chat("x", grammar='root ::= "x"')
        assert model.invoke("?").text == "x"
        with pytest.raises(SettingsError, match="does not go with tools"):
            model.bind_tools([add]).invoke("?")


class TestBadInput:
    def test_a_prompt_that_is_too_long_is_told_in_one_line(self, scripted):
        model = ChatLocal(scripted("x", window=30))
        with pytest.raises(QuestionError, match="reads at most 29") as caught:
            model.invoke("word " * 100)
        assert "\n" not in str(caught.value)

    def test_unknown_and_impossible_settings_are_refused(self, scripted):
        policy = scripted("x")
        with pytest.raises(SettingsError, match="unknown argument 'temprature'"):
            ChatLocal(policy, temprature=1)
        with pytest.raises(SettingsError, match=r"stop\.0=''"):
            ChatLocal(policy, stop=[""])
        with pytest.raises(SettingsError, match="unknown argument 'tempo'"):
            ChatLocal(policy).invoke("?", tempo=1)
        with pytest.raises(SettingsError, match="n=2: one answer"):
            list(ChatLocal(policy).stream("?", n=2))

    def test_what_is_no_model_is_refused(self, chat):
        with pytest.raises(ModelSpecError):
            ChatLocal("no such folder")
        with pytest.raises(ModelSpecError, match="does not run in this process"):
            ChatLocal(chat("x"))
        with pytest.raises(ModelSpecError, match="no such folder"):
            chat("x").invoke("?", model="nowhere")


class TestDescription:
    def test_a_run_in_a_trace_says_what_ran(self, chat):
        params = chat("x", temperature=0.5, max_tokens=9, stop=["a"])._get_ls_params()
        assert params["ls_provider"] == "langchain-qstar"
        assert params["ls_model_name"] == "scripted"
        assert (params["ls_temperature"], params["ls_max_tokens"]) == (0.5, 9)
        assert params["ls_stop"] == ["a"]

    def test_settings_are_part_of_its_identity(self, chat):
        params = chat("x", top_k=3)._identifying_params
        assert (params["model"], params["top_k"]) == ("scripted", 3)

    def test_the_profile_has_the_window(self, scripted):
        profile = ChatLocal(scripted("x", window=77)).profile
        assert profile is not None
        assert (profile["max_input_tokens"], profile["tool_calling"]) == (77, True)

    def test_tokens_are_counted_by_the_models_own_tokenizer(self, chat):
        model = chat("x")
        assert model.get_num_tokens("Tom has") == model._policy.count_tokens("Tom has")


@pytest.mark.nano
class TestNano:
    QUESTION = "Tom has 4 bags. Each bag has 6 apples. How many apples does Tom have?"

    def test_it_answers_and_streams_what_it_answers(self):
        model = ChatLocal("nano", temperature=0)
        answer = model.invoke(self.QUESTION)
        assert collected(model.stream(self.QUESTION)).content == answer.content
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["output_tokens"] > 5

    def test_the_same_seed_gives_the_same_answers_alone_and_in_a_batch(self):
        model = ChatLocal("nano", temperature=1.2, seed=7, max_tokens=30)
        alone = model.invoke(self.QUESTION).content
        batch = model.batch([self.QUESTION, "Hello", self.QUESTION])
        assert [batch[0].content, batch[2].content] == [alone, alone]
        assert model.invoke(self.QUESTION, seed=8).content != alone

    def test_whatever_it_knows_it_writes_what_was_asked_for(self):
        model = ChatLocal("nano", temperature=1.0, seed=3, max_tokens=200)
        verdict = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
        found = model.with_structured_output(verdict).batch([self.QUESTION] * 4)
        assert all(set(each) == {"ok"} and isinstance(each["ok"], bool) for each in found)
        called = model.bind_tools([now], tool_choice="now").invoke(self.QUESTION)
        assert [(call["name"], call["args"]) for call in called.tool_calls] == [("now", {})]
