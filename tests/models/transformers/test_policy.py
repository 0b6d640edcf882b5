from __future__ import annotations

import asyncio

import numpy as np
import pytest
import torch
import transformers

from langchain_qstar.errors import ModelSpecError, SettingsError
from langchain_qstar.models.transformers.drawing import draw, uniforms
from langchain_qstar.models.transformers.policy import TransformersPolicy
from langchain_qstar.models.transformers.tree_rows import TreeRows
from langchain_qstar.protocols import Policy, State, Step


def branches_of(policy):
    return type(policy._backend._branches)


def ids_of(policy, request):
    return list(policy.path_ids(request.state))


def forward_logprobs(llama, prompt, ids):
    with torch.no_grad():
        logits = llama(torch.tensor([prompt + list(ids)])).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1).gather(1, torch.tensor(list(ids))[:, None])[:, 0].numpy()


class TestSampling:
    def test_it_is_a_policy(self, policy):
        assert isinstance(policy, Policy)
        assert (policy.name, policy.window) == ("tiny", 160)

    def test_greedy_tokens_are_those_of_generate(self, policy, llama, ask):
        requests = [
            ask(question, temperature=0.0, stop=(), max_tokens=24)
            for question in ("Who?", "How many apples has Tom?", "x")
        ]
        sampled = policy.sample(requests)
        for request, (completion,) in zip(requests, sampled, strict=True):
            prompt = ids_of(policy, request)
            expected = llama.generate(
                torch.tensor([prompt]), max_new_tokens=24, do_sample=False, pad_token_id=0
            )[0, len(prompt) :].tolist()
            assert list(completion.token_ids) == [token for token in expected if token != 0]

    def test_log_probabilities_are_those_of_a_plain_forward_at_temperature_one(
        self, policy, llama, ask
    ):
        requests = [
            ask("Who?", n=3, temperature=0.7, top_p=0.9, stop=(), max_tokens=20),
            ask("A much longer question than the other one?", n=2, stop=(), max_tokens=20),
        ]
        for request, group in zip(requests, policy.sample(requests), strict=True):
            for completion in group:
                expected = forward_logprobs(llama, ids_of(policy, request), completion.token_ids)
                np.testing.assert_allclose(completion.logprobs, expected, atol=1e-4)

    def test_every_token_is_drawn_by_its_seed_and_place_alone(self, policy, llama, ask):
        request = ask(n=2, stop=(), max_tokens=12, temperature=0.9)
        for seed, completion in enumerate(policy.sample([request])[0]):
            ids = ids_of(policy, request)
            for place, token in enumerate(completion.token_ids):
                with torch.no_grad():
                    logits = llama(torch.tensor([ids])).logits[:, -1]
                uniform = uniforms(torch.tensor([seed]), torch.tensor([place]))
                assert draw(logits, uniform, torch.tensor([0.9])).item() == token
                ids.append(token)

    def test_a_request_gives_the_same_tokens_alone_and_among_others(self, policy, ask):
        request = ask("Who?", n=4, stop=("e",), max_tokens=40)
        others = [
            ask("y" * length, n=2, first=50, max_tokens=5 + length) for length in range(1, 65)
        ]
        alone = policy.sample([request])[0]
        among = policy.sample([*others[:30], request, *others[30:]])[30]
        assert [c.token_ids for c in among] == [c.token_ids for c in alone]
        assert [c.text for c in among] == [c.text for c in alone]

    def test_a_cap_on_rows_changes_nothing(self, policy, llama, make_tokenizer, ask):
        request = ask(n=7, max_tokens=12, stop=())
        small = TransformersPolicy(llama, make_tokenizer(), max_rows=3)
        assert [c.text for c in small.sample([request])[0]] == [
            c.text for c in policy.sample([request])[0]
        ]
        small.close()

    def test_completions_come_in_the_order_of_the_seeds(self, policy, ask):
        forward = policy.sample([ask(n=5, stop=())])[0]
        later = policy.sample([ask(n=3, first=2, stop=())])[0]
        assert [c.text for c in later] == [c.text for c in forward[2:]]
        assert len({c.text for c in forward}) == 5

    def test_seeds_of_63_bits_differ_in_every_bit(self, policy, ask):
        from dataclasses import replace

        request = replace(ask(stop=()), seeds=(1, 1 + 2**62, 2**63 - 1))
        assert len({c.text for c in policy.sample([request])[0]}) == 3

    def test_top_k_of_one_and_a_tiny_nucleus_are_greedy(self, policy, ask):
        options = {"stop": (), "max_tokens": 10}
        (greedy,), (first,), (nucleus,) = policy.sample(
            [
                ask(temperature=0.0, **options),
                ask(temperature=1.5, top_k=1, **options),
                ask(temperature=1.5, top_p=1e-6, **options),
            ]
        )
        assert greedy.token_ids == first.token_ids == nucleus.token_ids

    def test_steps_tokens_are_read_as_they_were_drawn(self, policy, llama, ask):
        # "q" and "u" are two tokens; a step that says so must not be tokenised again.
        odd = Step("hello\n", token_ids=(77, 78, 79))
        request = ask(steps=[odd, Step("plain\n")], max_tokens=4, stop=(), temperature=0.0)
        path = ids_of(policy, request)
        assert path[-9:-6] == [77, 78, 79]
        (completion,) = policy.sample([request])[0]
        np.testing.assert_allclose(
            completion.logprobs, forward_logprobs(llama, path, completion.token_ids), atol=1e-4
        )

    def test_a_prefill_is_part_of_text_and_ids_and_was_not_drawn(self, policy, ask):
        (completion,) = policy.sample([ask(prefill="Q:", max_tokens=3, stop=())])[0]
        assert completion.text.startswith("Q:")
        assert policy.token_texts(completion.token_ids)[:2] == ["Q", ":"]
        assert completion.logprobs[:2] == (0.0, 0.0)
        assert (completion.generated, len(completion.token_ids)) == (3, 5)

    def test_a_prompt_is_read_once_for_all_its_seeds(self, policy, ask):
        first, second, third = policy.sample([ask(n=3)])[0]
        assert first.prompt_tokens == second.prompt_tokens == len(ids_of(policy, ask()))
        assert first.reused_tokens == 0
        assert second.reused_tokens == third.reused_tokens == first.prompt_tokens

    def test_messages_may_be_joined_as_text_for_a_model_without_chat(self, llama, make_tokenizer):
        plain = TransformersPolicy(llama, make_tokenizer(template=None), chat_template="plain")
        state = State("b", (("system", "a"), ("user", "b")))
        assert "".join(plain.token_texts(plain.path_ids(state))) == "a\n\nb\n"
        plain.close()


class TestFeatures:
    def states(self, ask):
        root = ask("How many apples?").state
        return [root, root.then(Step("a step\n")), root.then(Step("a step\n")).then(Step("x\n"))]

    def expected(self, llama, path, layers=(1, 3)):
        with torch.no_grad():
            hidden = llama(torch.tensor([list(path)]), output_hidden_states=True).hidden_states
        return np.concatenate([hidden[layer][0, -1].numpy() for layer in layers])

    def test_they_are_the_hidden_states_of_a_plain_forward(self, policy, llama, ask):
        states = [*self.states(ask), ask("x").state]
        features = policy.features(states)
        assert features.shape == (4, 64)
        assert features.dtype == np.float32
        for state, row in zip(states, features, strict=True):
            expected = self.expected(llama, policy.path_ids(state))
            np.testing.assert_allclose(row, expected, atol=1e-5)

    def test_states_along_one_path_are_read_once(self, policy, ask):
        states = self.states(ask)
        policy.features(states)
        policy.features(states[::-1])
        assert policy.counters.prefilled == len(policy.path_ids(states[-1]))

    def test_sampled_steps_bring_theirs_along(self, policy, llama, ask):
        policy.feature_layers = (0, 2)
        request = ask(n=24, stop=("e", "a", "t", "o"), max_tokens=60, temperature=1.0)
        completions = policy.sample([request])[0]
        assert {"stop", "eos"} <= {c.finish for c in completions}
        states = [request.state.then(Step(c.text, token_ids=c.token_ids)) for c in completions]
        before = policy.counters.forwarded
        policy.features(states)
        assert policy.counters.forwarded == before
        for state, row in zip(states, policy.features(states), strict=True):
            expected = self.expected(llama, policy.path_ids(state), (0, 2))
            np.testing.assert_allclose(row, expected, atol=1e-4)

    def test_recording_does_not_change_what_is_sampled(self, policy, ask):
        request = ask(n=8, stop=("e", "a"), max_tokens=30)
        before = [c.token_ids for c in policy.sample([request])[0]]
        policy.feature_layers = (-1,)
        assert [c.token_ids for c in policy.sample([request])[0]] == before
        assert policy.feature_layers == (3,)

    async def test_layers_may_change_while_rows_run(self, policy, llama, ask):
        policy.feature_layers = (1,)
        request = ask(n=24, stop=("e", "a", "t", "o"), max_tokens=60, temperature=1.0)
        running = asyncio.create_task(policy.asample([request]))
        await asyncio.sleep(0.002)
        await policy.afeatures([request.state])
        policy.feature_layers = (2,)
        states = [
            request.state.then(Step(c.text, token_ids=c.token_ids)) for c in (await running)[0]
        ]
        for state, row in zip(states, policy.features(states), strict=True):
            expected = self.expected(llama, policy.path_ids(state), (2,))
            np.testing.assert_allclose(row, expected, atol=1e-4)

    def test_other_layers_forget_what_was_recorded(self, policy, ask):
        states = self.states(ask)
        policy.feature_layers = (1,)
        first = policy.features(states)
        policy.feature_layers = (2,)
        assert not np.allclose(first, policy.features(states))

    def test_unknown_layers_are_refused(self, policy):
        with pytest.raises(ModelSpecError, match="between 0 and 3"):
            policy.feature_layers = (4,)

    async def test_async_features_are_the_same(self, policy, ask):
        states = self.states(ask)
        np.testing.assert_array_equal(await policy.afeatures(states), policy.features(states))


class TestScoringText:
    def test_given_steps_get_the_log_probabilities_they_were_drawn_with(self, policy, ask):
        requests = [ask(n=2, stop=(), max_tokens=8), ask("longer, this one", n=1, stop=())]
        pairs = [
            (request.state, Step(c.text, token_ids=c.token_ids, logprobs=c.logprobs))
            for request, group in zip(requests, policy.sample(requests), strict=True)
            for c in group
        ]
        pairs.insert(1, (requests[0].state, Step("")))
        scored = policy.token_logprobs([s for s, _ in pairs], [step for _, step in pairs])
        assert scored[1] == ()
        for (_, step), logprobs in zip(pairs, scored, strict=True):
            np.testing.assert_allclose(logprobs, step.logprobs, atol=1e-4)

    def test_text_that_was_never_read_is_read_once(self, policy, ask):
        state, step = ask().state, Step("given text")
        policy.token_logprobs([state], [step])
        assert policy.counters.prefilled == len(policy.path_ids(state.then(step)))
        policy.token_logprobs([state.then(step)], [Step("more")])
        assert policy.counters.prefilled == len(policy.path_ids(state.then(step))) + 4


class TestLoading:
    @pytest.fixture
    def folder(self, tmp_path, llama, make_tokenizer):
        llama.save_pretrained(tmp_path)
        make_tokenizer().save_pretrained(tmp_path)
        return tmp_path

    def test_a_saved_model_gives_the_same_completions(self, folder, policy, ask):
        loaded = TransformersPolicy.from_pretrained(folder, device="cpu")
        for one, other in zip(*(p.sample([ask(n=2)])[0] for p in (loaded, policy)), strict=True):
            assert one.token_ids == other.token_ids
        assert loaded.count_tokens("four") == 4
        loaded.close()

    def test_an_adapter_changes_the_model_as_a_merged_one_would(
        self, folder, llama, make_tokenizer, ask, tmp_path
    ):
        peft = pytest.importorskip("peft")
        base = type(llama).from_pretrained(folder)
        config = peft.LoraConfig(target_modules=["q_proj", "v_proj"], r=2, task_type="CAUSAL_LM")
        adapted = peft.get_peft_model(base, config)
        torch.manual_seed(3)
        for name, weight in adapted.named_parameters():
            if "lora" in name:
                torch.nn.init.normal_(weight, std=0.5)
        adapted.save_pretrained(tmp_path / "adapter")
        request = ask(n=3, stop=(), max_tokens=20)
        loaded = TransformersPolicy.from_pretrained(
            folder, device="cpu", adapter=tmp_path / "adapter"
        )
        merged = TransformersPolicy(adapted.merge_and_unload(), make_tokenizer())
        found = [[c.token_ids for c in p.sample([request])[0]] for p in (loaded, merged)]
        assert found[0] == found[1]
        assert branches_of(loaded) is TreeRows
        loaded.close()
        merged.close()

    def test_a_type_a_device_map_and_a_quantisation_are_passed_on(self, folder, monkeypatch):
        given = {}
        load = transformers.AutoModelForCausalLM.from_pretrained

        def noting(source, **options):
            given.update(options)
            return load(source, torch_dtype=options["dtype"])

        monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", noting)
        policy = TransformersPolicy.from_pretrained(
            folder, dtype=torch.float64, device_map="cpu", quantization_config="four bits"
        )
        policy.close()
        assert given["dtype"] is torch.float64
        assert (given["device_map"], given["quantization_config"]) == ("cpu", "four bits")
        assert given["trust_remote_code"] is False

    def test_sixteen_bits_are_near_enough(self, folder, ask):
        half = TransformersPolicy.from_pretrained(folder, device="cpu", dtype=torch.bfloat16)
        assert branches_of(half) is TreeRows
        assert half.sample([ask(n=3, max_tokens=9, stop=())])[0][0].generated == 9
        half.close()

    def test_others_who_use_the_model_see_no_difference(self, llama, policy):
        ids = torch.tensor([[5, 6, 7, 8], [9, 1, 2, 3]])
        mask = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]])
        assert llama.config._attn_implementation == "qstar_tree"
        before = llama(ids, attention_mask=mask).logits
        llama.set_attn_implementation("eager")
        expected = llama(ids, attention_mask=mask).logits
        llama.set_attn_implementation("qstar_tree")
        torch.testing.assert_close(before[:, 1:], expected[:, 1:])

    def test_loading_prints_nothing(self, folder, capfd):
        TransformersPolicy.from_pretrained(folder).close()
        assert capfd.readouterr() == ("", "")

    def test_corrupt_weights_are_one_line(self, folder):
        (folder / "model.safetensors").write_bytes(b"not weights")
        with pytest.raises(ModelSpecError, match="cannot load a model") as caught:
            TransformersPolicy.from_pretrained(folder)
        assert "\n" not in str(caught.value)

    def test_an_unknown_architecture_is_one_line(self, folder):
        (folder / "config.json").write_text('{"model_type": "nonesuch"}')
        with pytest.raises(ModelSpecError, match="nonesuch") as caught:
            TransformersPolicy.from_pretrained(folder)
        assert "\n" not in str(caught.value)

    def test_a_folder_without_a_model_is_one_line(self, tmp_path):
        with pytest.raises(ModelSpecError, match="cannot load a model") as caught:
            TransformersPolicy.from_pretrained(tmp_path)
        assert "\n" not in str(caught.value)

    def test_room_for_no_rows_is_refused(self, llama, make_tokenizer):
        with pytest.raises(SettingsError, match="max_rows=0"):
            TransformersPolicy(llama, make_tokenizer(), max_rows=0)

    def test_a_pair_of_other_things_is_refused(self):
        with pytest.raises(ModelSpecError, match="pair"):
            TransformersPolicy("model", "tokenizer")
