from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import Future

import pytest

from langchain_qstar.errors import ModelError, QuestionError
from langchain_qstar.models.transformers.policy import TransformersPolicy
from langchain_qstar.protocols import Listener, Step


def ids_of(policy, request):
    return list(policy.path_ids(request.state))


def engine_threads(name):
    return [thread for thread in threading.enumerate() if thread.name == name]


class TestEnds:
    def test_a_stop_string_ends_the_text_and_is_kept(self, saying, ask):
        policy, _ = saying("one\ntwo\n")
        (completion,) = policy.sample([ask()])[0]
        assert (completion.text, completion.finish, completion.generated) == ("one\n", "stop", 4)
        assert "".join(policy.token_texts(completion.token_ids)) == "one\n"

    def test_a_stop_string_may_span_tokens(self, saying, ask):
        policy, _ = saying("a.b.c. d")
        (completion,) = policy.sample([ask(stop=("c. d", "zz"))])[0]
        assert completion.text == "a.b.c. d"

    def test_the_stop_string_that_ends_first_wins(self, saying, ask):
        policy, _ = saying("ab\n")
        (completion,) = policy.sample([ask(stop=("b\n", "b"))])[0]
        assert completion.text == "ab"

    def test_a_stop_inside_a_token_cuts_the_text_there_and_ids_agree(self, saying, ask):
        policy, backend = saying("ab\n\n", merged=("\n\n",))
        assert len(backend.tokens) == 3
        (completion,) = policy.sample([ask()])[0]
        assert (completion.text, completion.generated) == ("ab\n", 3)
        assert policy.token_texts(completion.token_ids) == ["a", "b", "\n"]
        assert len(completion.logprobs) == 3

    def test_a_stop_inside_the_first_token_leaves_the_rest_of_it_out(self, saying, ask):
        policy, _ = saying("\nx", merged=("\nx",))
        (completion,) = policy.sample([ask()])[0]
        assert policy.token_texts(completion.token_ids) == ["\n"]

    def test_of_a_cut_token_only_the_kept_part_is_scored_again(self, saying, ask):
        policy, _ = saying("ab\n\n", merged=("\n\n",))
        (completion,) = policy.sample([ask()])[0]
        step = Step(completion.text, token_ids=completion.token_ids)
        (logprobs,) = policy.token_logprobs([ask().state], [step])
        assert logprobs == tuple(-float(token) for token in completion.token_ids)

    def test_characters_of_several_tokens_are_whole(self, saying, ask):
        policy, _ = saying("3 € →\n")
        (completion,) = policy.sample([ask(stop=("→",))])[0]
        assert completion.text == "3 € →"
        assert "".join(policy.token_texts(completion.token_ids)) == "3 € →"

    def test_the_end_token_counts_and_is_in_neither_text_nor_ids(self, saying, ask):
        policy, _ = saying("hi", "<|end|>")
        (completion,) = policy.sample([ask()])[0]
        assert (completion.text, completion.finish, completion.generated) == ("hi", "eos", 3)
        assert len(completion.token_ids) == len(completion.logprobs) == 2

    def test_an_empty_completion_is_a_completion(self, saying, ask):
        policy, _ = saying("<|end|>")
        (completion,) = policy.sample([ask()])[0]
        assert (completion.text, completion.token_ids, completion.generated) == ("", (), 1)

    def test_a_model_that_never_ends_is_cut_by_max_tokens(self, saying, ask):
        policy, _ = saying("a")
        (completion,) = policy.sample([ask(max_tokens=9)])[0]
        assert (completion.text, completion.finish) == ("a" * 9, "length")

    def test_the_window_ends_a_completion(self, saying, ask):
        policy, _ = saying("a")
        (completion,) = policy.sample([ask(max_tokens=500)])[0]
        assert completion.generated == policy.window - len(ids_of(policy, ask()))
        assert completion.finish == "length"

    def test_a_trajectory_that_fills_the_window_ends_there(self, saying, ask):
        policy, _ = saying("a")
        (completion,) = policy.sample([ask(steps=[Step("b" * 64)])])[0]
        assert (completion.text, completion.finish, completion.generated) == ("", "length", 0)

    def test_a_question_longer_than_the_window_is_refused(self, policy, ask):
        with pytest.raises(QuestionError, match=r"reads at most 159: shorten"):
            policy.sample([ask("x" * 200)])
        assert policy.sample([ask()])[0]

    async def test_a_refused_question_does_not_harm_others_in_the_batch(self, policy, ask):
        outcomes = await asyncio.gather(
            policy.asample([ask("x" * 200)]), policy.asample([ask()]), return_exceptions=True
        )
        assert isinstance(outcomes[0], QuestionError)
        assert not isinstance(outcomes[1], BaseException)
        assert outcomes[1][0][0].text == policy.sample([ask()])[0][0].text

    def test_rows_that_end_leave_the_batch(self, saying, ask):
        policy, backend = saying("a")
        policy.sample([ask(n=8, max_tokens=2), ask(n=1, first=9, max_tokens=6)])
        assert [sum(map(len, read)) for read in backend.reads] == [len(ids_of(policy, ask()))]
        assert backend.steps == [9, 9, 1, 1, 1, 1]


class TestThoughts:
    def test_they_are_kept_apart_and_counted(self, saying, ask):
        policy, _ = saying("<think>", "2+2\n", "</think>", "so 4\n", thinking=True)
        (completion,) = policy.sample([ask(max_tokens=20)])[0]
        assert (completion.text, completion.finish) == ("so 4\n", "stop")
        assert (completion.generated, completion.thought_tokens) == (11, 6)
        assert "".join(policy.token_texts(completion.token_ids)) == "so 4\n"

    def test_a_step_after_a_thought_is_read_again_without_it(self, saying, ask):
        policy, backend = saying("<think>", "hm", "</think>", "a\n", thinking=True)
        (completion,) = policy.sample([ask(max_tokens=20)])[0]
        policy.sample([ask(steps=[Step(completion.text, token_ids=completion.token_ids)])])
        assert backend.reads[-1] == [completion.token_ids]

    def test_only_the_first_step_comes_after_a_thought(self, make_tokenizer, saying, ask):
        policy, _ = saying("a\n", thinking=True)
        asked: list[bool] = []
        prompt = policy._codec.prompt

        def noting(messages, thinking):
            asked.append(thinking)
            return prompt(messages, thinking)

        policy._codec.prompt = noting
        policy.sample([ask(), ask(steps=[Step("b\n")])])
        assert asked == [True, False]

    def test_a_prompt_that_leaves_no_room_for_a_thought_gets_none(self, saying, ask):
        policy, _ = saying("<think>", "x" * 90, thinking=True, window=40)
        (completion,) = policy.sample([ask(max_tokens=9)])[0]
        assert (completion.text, completion.finish) == ("", "length")
        assert completion.generated + len(ids_of(policy, ask())) <= policy.window


class TestEngineThread:
    async def test_a_call_joins_what_is_running(self, saying, ask):
        policy, backend = saying("a")
        running, go_on = threading.Event(), threading.Event()

        def block():
            running.set()
            assert go_on.wait(30)

        backend.before_forward = block
        first = asyncio.create_task(policy.asample([ask(max_tokens=4)]))
        await asyncio.to_thread(running.wait, 30)
        others = [asyncio.create_task(policy.asample([ask("q" * n, max_tokens=2)])) for n in (1, 2)]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, *others)
        assert backend.steps[0] in {1, 3}
        assert max(backend.steps) == 3
        assert sum(backend.steps) == 4 + 2 + 2

    async def test_a_cancelled_task_frees_the_engine(self, saying, ask):
        policy, backend = saying("a")
        running = threading.Event()
        go_on = threading.Event()

        def block():
            running.set()
            assert go_on.wait(30)

        backend.before_forward = block
        task = asyncio.create_task(policy.asample([ask(max_tokens=50)]))
        await asyncio.to_thread(running.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        assert (await policy.asample([ask(max_tokens=1)]))[0][0].text == "a"
        assert len(backend.steps) <= 3

    def test_an_interrupted_call_frees_its_rows(self, saying, ask, monkeypatch):
        policy, backend = saying("a", window=10**6)
        stepped = threading.Event()
        backend.before_forward = stepped.set
        wait = Future.result

        def interrupted(future, timeout=None):
            assert stepped.wait(30)
            raise KeyboardInterrupt

        monkeypatch.setattr(Future, "result", interrupted)
        with pytest.raises(KeyboardInterrupt):
            policy.sample([ask(max_tokens=10**6)])
        monkeypatch.setattr(Future, "result", wait)
        assert policy.sample([ask(max_tokens=1)])[0][0].text == "a"
        assert not backend.said

    def test_a_failing_model_is_a_model_error_and_the_next_call_works(self, saying, ask):
        policy, backend = saying("a")

        def fail():
            raise RuntimeError("out of memory")

        backend.before_forward = fail
        with pytest.raises(ModelError, match="model saying failed: out of memory"):
            policy.sample([ask()])
        backend.before_forward = lambda: None
        assert policy.sample([ask(max_tokens=1)])[0][0].text == "a"

    def test_when_the_thread_dies_all_calls_fail(self, saying, ask):
        policy, backend = saying("a")

        def die():
            raise SystemExit

        backend.before_forward = die
        for _ in range(2):
            with pytest.raises(ModelError, match="died"):
                policy.sample([ask()])

    def test_the_thread_ends_with_close(self, saying, ask):
        policy, _ = saying("a")
        policy.sample([ask(max_tokens=1)])
        assert engine_threads("saying")
        policy.close()
        assert not engine_threads("saying")
        with pytest.raises(ModelError, match="closed"):
            policy.sample([ask()])

    def test_the_thread_ends_with_the_object(self, llama, make_tokenizer, ask):
        policy = TransformersPolicy(llama, make_tokenizer(), name="short-lived")
        policy.sample([ask(max_tokens=1)])
        assert engine_threads("short-lived")
        del policy
        gc.collect()
        assert not engine_threads("short-lived")

    def test_no_thread_starts_before_the_first_call(self, saying):
        saying("a")
        assert not engine_threads("saying")

    def test_closing_ends_a_call_that_is_running(self, saying, ask):
        policy, backend = saying("a", window=10**6)
        running = threading.Event()
        failures = []

        def call():
            try:
                policy.sample([ask(max_tokens=50)])
            except ModelError as error:
                failures.append(error)

        def dawdle():
            running.set()
            threading.Event().wait(0.01)

        backend.before_forward = dawdle
        thread = threading.Thread(target=call)
        thread.start()
        assert running.wait(30)
        policy.close()
        thread.join(30)
        assert "closed" in str(failures[0])


class TestLikeliest:
    """The most probable tokens at every place, where a request asks for them."""

    def test_they_stand_beside_the_tokens_and_agree_with_them(self, policy, ask):
        asked = ask(n=3, stop=("e",), max_tokens=12, top_logprobs=5)
        (group,) = policy.sample([asked])
        for completion in group:
            assert len(completion.likeliest) == len(completion.token_ids)
            places = zip(
                completion.token_ids, completion.logprobs, completion.likeliest, strict=True
            )
            for token, logprob, likeliest in places:
                values = [value for _, value in likeliest]
                assert len(likeliest) == 5
                assert values == sorted(values, reverse=True)
                assert dict(likeliest).get(token, logprob) == pytest.approx(logprob, abs=1e-5)

    def test_greedy_takes_the_first_and_a_grammar_changes_nothing_about_them(self, policy, ask):
        (free,) = policy.sample([ask(temperature=0, stop=(), max_tokens=5, top_logprobs=1)])[0]
        assert [place[0][0] for place in free.likeliest] == list(free.token_ids)
        held = ask(temperature=0, stop=(), max_tokens=5, top_logprobs=1, grammar='start: "zq"')
        (told,) = policy.sample([held])[0]
        assert told.text == "zq"
        assert told.likeliest[0] == free.likeliest[0]

    def test_an_end_token_and_a_cut_token_leave_none_behind(self, saying, ask):
        ended, _ = saying("a", "b", "<|end|>")
        (told,) = ended.sample([ask(stop=(), max_tokens=9, top_logprobs=2)])[0]
        assert (told.text, [len(place) for place in told.likeliest]) == ("ab", [2, 2])
        cut, _ = saying("a", "bc", merged=("bc",))
        (told,) = cut.sample([ask(stop=("b",), max_tokens=9, top_logprobs=2)])[0]
        assert (told.text, [len(place) for place in told.likeliest]) == ("ab", [2, 0])

    def test_given_tokens_have_none_and_nobody_asks_in_vain(self, policy, ask):
        (told,) = policy.sample([ask(prefill="ab", stop=(), max_tokens=2, top_logprobs=1)])[0]
        assert [len(place) for place in told.likeliest] == [0, 0, 1, 1]
        assert policy.sample([ask(max_tokens=2)])[0][0].likeliest == ()

    def test_streamed_they_are_the_same(self, policy, ask):
        request = ask(stop=(), max_tokens=8, top_logprobs=2)
        pieces = list(policy.stream(request))
        assert tuple(each for piece in pieces for each in piece.likeliest) == (
            pieces[-1].completion.likeliest
        )


class TestReporting:
    """A policy tells of what is finished while the rest still decodes."""

    REQUESTS_STOP = ("a", "e", "i", "o", "u")

    def requests(self, ask):
        return [
            ask(n=4, stop=self.REQUESTS_STOP, max_tokens=40, prefill="so"),
            ask(n=2, first=5, stop=("never",), max_tokens=3),
        ]

    def test_every_text_is_told_and_the_result_is_that_of_sample(self, policy, ask):
        told = []
        requests = self.requests(ask)
        found = policy.sample_aloud(requests, Listener(finished=lambda *each: told.append(each)))
        expected = [(n, each.text) for n, group in enumerate(found) for each in group]
        assert sorted(told) == sorted(expected)
        again = policy.sample(requests)
        assert [each.text for group in again for each in group] == [text for _, text in expected]

    def test_a_short_text_is_told_of_before_a_long_one_has_ended(self, policy, ask):
        requests = [ask(stop=(), max_tokens=limit, temperature=1.0) for limit in (20, 2)]
        told = []

        def finished(number, text):
            told.append((number, policy.counters.steps))

        policy.sample_aloud(requests, Listener(finished=finished))
        assert [number for number, _ in told] == [1, 0]
        assert told[0][1] < told[1][1]

    async def test_awaited_it_is_the_same(self, policy, ask):
        told = []
        requests = self.requests(ask)
        listener = Listener(finished=lambda *each: told.append(each))
        found = await policy.asample_aloud(requests, listener)
        assert len(told) == 6
        assert [[each.text for each in group] for group in found] == [
            [each.text for each in group] for group in policy.sample(requests)
        ]
