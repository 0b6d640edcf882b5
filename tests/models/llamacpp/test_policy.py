"""llama.cpp under the engine: the same tokens as transformers, whatever else runs."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
from itertools import chain

import numpy as np
import pytest

pytest.importorskip("llama_cpp", reason="needs the extra llamacpp")

import torch
from gguf import GGUFReader, GGUFWriter

from langchain_qstar.chains import QStarChain
from langchain_qstar.errors import (
    ModelSpecError,
    OffloadWarning,
    QuestionError,
    SettingsError,
)
from langchain_qstar.models.engine.jobs import CallJob
from langchain_qstar.models.llamacpp.export import export_gguf
from langchain_qstar.models.llamacpp.loading import library
from langchain_qstar.models.llamacpp.policy import LlamaCppPolicy
from langchain_qstar.models.resolve import NANO_FOLDER
from langchain_qstar.models.transformers.policy import TransformersPolicy
from langchain_qstar.problems.generator import make_problems
from langchain_qstar.protocols import Policy, State, Step

FEW_SHOT = "Two and two make four, and four and four make eight."
QUESTIONS = ["How many apples?", "Why is that so?", "x + 1 = 3", "One more."]


def state(question):
    return State(question, (("system", FEW_SHOT), ("user", question)))


def tokens_of(groups):
    return [[completion.token_ids for completion in group] for group in groups]


async def search(policy, ask, question, expansions):
    """Expand now the last state, now an older one; what all steps say."""
    order = random.Random(question)
    states, found = [state(question)], []
    for number in range(expansions):
        chosen = states[-1] if order.random() < 0.7 else order.choice(states)
        request = ask(n=3, first=100 * number, stop=("e", "t", "a"), max_tokens=8)
        request = type(request)(chosen, request.seeds, request.stop, request.max_tokens)
        (group,) = await policy.asample([request])
        found += [(completion.token_ids, completion.finish) for completion in group]
        states += [chosen.then(Step(c.text, token_ids=c.token_ids)) for c in group]
    return found


def searches(policy, ask, questions, expansions=5):
    async def together():
        return await asyncio.gather(*(search(policy, ask, each, expansions) for each in questions))

    return asyncio.run(together())


def holds(policy):
    """Cells that the tree says are in use, and that the backend counts."""
    policy._engine.submit(CallJob(lambda: None)).result(30)
    tree, cells = policy._scheduler.tree, policy._backend._cells
    known = sum(len(node.tokens) for node in tree._used if node.state is not None)
    return known, cells.context.cells - cells.free


class TestSampling:
    @pytest.mark.parametrize(
        "options",
        [
            {"temperature": 0.0},
            {"temperature": 1.0},
            {"temperature": 0.7, "top_p": 0.9, "top_k": 20, "min_p": 0.01},
            {"temperature": 1.2, "repetition_penalty": 1.2},
        ],
        ids=str,
    )
    def test_tokens_are_those_of_transformers(self, llamacpp, policy, ask, options):
        requests = [ask(question, n=3, stop=(), max_tokens=24, **options) for question in QUESTIONS]
        ours, theirs = llamacpp().sample(requests), policy.sample(requests)
        assert tokens_of(ours) == tokens_of(theirs)
        for mine, other in zip(chain(*ours), chain(*theirs), strict=True):
            assert (mine.text, mine.finish) == (other.text, other.finish)
            np.testing.assert_allclose(mine.logprobs, other.logprobs, atol=1e-4)

    def test_the_most_probable_tokens_are_those_of_transformers(self, llamacpp, policy, ask):
        requests = [
            ask(question, n=2, stop=("e",), max_tokens=9, top_logprobs=4, prefill="It")
            for question in QUESTIONS
        ]
        ours, theirs = llamacpp().sample(requests), policy.sample(requests)
        assert tokens_of(ours) == tokens_of(theirs)
        for mine, other in zip(chain(*ours), chain(*theirs), strict=True):
            assert len(mine.likeliest) == len(mine.token_ids or ()) > 0
            for here, there in zip(mine.likeliest, other.likeliest, strict=True):
                assert [token for token, _ in here] == [token for token, _ in there]
                np.testing.assert_allclose(
                    [each for _, each in here], [each for _, each in there], atol=1e-4
                )

    def test_it_is_a_policy_called_by_the_name_in_the_file(self, llamacpp):
        made = llamacpp()
        assert (made.name, made.window, made.gpu_layers) == ("tiny", 160, 0)
        assert isinstance(made, Policy)

    def test_a_search_draws_the_same_alone_in_company_and_with_a_small_cache(self, llamacpp, ask):
        alone = [each for q in QUESTIONS for each in searches(llamacpp(), ask, [q])]
        roomy = llamacpp()
        assert searches(roomy, ask, QUESTIONS) == alone
        assert roomy.counters.evicted == 0
        small = llamacpp(cache_tokens=256, max_rows=4)
        assert searches(small, ask, QUESTIONS, 8) == searches(roomy, ask, QUESTIONS, 8)
        assert small.counters.evicted > 0

    def test_what_had_to_go_is_read_again_and_says_the_same(self, llamacpp, ask):
        made = llamacpp(cache_tokens=256, max_rows=4)
        request = ask("A" * 60, n=2, stop=(), max_tokens=9)
        first = made.sample([request])
        made.sample([ask(letter * 60, stop=(), max_tokens=9) for letter in "BCDE"])
        read = made.counters.prefilled
        assert tokens_of(made.sample([request])) == tokens_of(first)
        assert made.counters.prefilled == read + len(made.path_ids(request.state))

    def test_logits_that_had_to_go_take_one_token_to_read_again(self, llamacpp, ask):
        made = llamacpp(max_rows=2)
        made._backend._kept._most = 4
        requests = [ask(letter * 20, n=2, stop=(), max_tokens=9) for letter in "ABCDE"]
        first = tokens_of(made.sample(requests))
        known, used = holds(made)
        read = made.counters.prefilled
        assert tokens_of([made.sample([each])[0] for each in requests]) == first
        assert made.counters.prefilled == read + len(requests)
        assert holds(made) == (known, used)
        assert known == used

    def test_the_logits_of_few_ends_are_kept(self, llamacpp, ask):
        made = llamacpp(max_rows=2)
        made._backend._kept._most = 4
        made.sample([ask(letter * 20, n=6, stop=(), max_tokens=3) for letter in "ABCDE"])
        made._engine.submit(CallJob(lambda: None)).result(30)
        held = [node for node in made._scheduler.tree._used if node.state.logits is not None]
        assert len(held) <= 4 < len(made._scheduler.tree)

    def test_it_reads_and_draws_as_much_as_transformers(self, llamacpp, policy, ask):
        ours = llamacpp()
        assert searches(ours, ask, QUESTIONS) == searches(policy, ask, QUESTIONS)
        for name in ("prefilled", "reused", "generated", "forwarded"):
            assert getattr(ours.counters, name) == getattr(policy.counters, name)

    def test_every_cell_in_use_belongs_to_a_segment_of_the_tree(self, llamacpp, ask):
        for made in (llamacpp(), llamacpp(cache_tokens=512, max_rows=4)):
            searches(made, ask, QUESTIONS, 8)
            known, used = holds(made)
            assert known == used > 0

    def test_more_segments_than_llama_cpp_has_sequences(self, llamacpp, ask):
        made = llamacpp()
        requests = [ask(f"Question {n}", n=4, stop=(), max_tokens=3) for n in range(160)]
        first = made.sample(requests)
        assert len(made._scheduler.tree) > 256 or made.counters.evicted > 0
        assert tokens_of(made.sample(requests[::-1])) == tokens_of(first)[::-1]

    def test_when_branches_outgrow_the_cache_fewer_run_and_draw_the_same(
        self, llamacpp, policy, ask
    ):
        made = llamacpp(cache_tokens=256, max_rows=16)
        made._scheduler._row_tokens = 10**6  # as if it could not know how long they get
        request = ask(n=16, stop=(), max_tokens=60, temperature=1.0)
        assert tokens_of(made.sample([request])) == tokens_of(policy.sample([request]))
        assert made._scheduler.max_rows < 16
        known, used = holds(made)
        assert known == used

    def test_a_prompt_longer_than_a_batch(self, llamacpp, policy, ask):
        made = llamacpp()
        made._backend._context.batch = 7
        request = ask("A question of some length, and a little more?", stop=(), max_tokens=5)
        assert tokens_of(made.sample([request])) == tokens_of(policy.sample([request]))

    async def test_a_cancelled_call_gives_its_cells_back(self, llamacpp, ask):
        made = llamacpp()
        running = threading.Event()
        draw = made._backend.draw

        def noting(*args):
            running.set()
            return draw(*args)

        made._backend.draw = noting
        task = asyncio.create_task(made.asample([ask(n=8, stop=(), max_tokens=100)]))
        await asyncio.to_thread(running.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await made.asample([ask(stop=(), max_tokens=1)])
        known, used = holds(made)
        assert known == used
        assert not made._backend._branches

    @pytest.mark.parametrize(
        ("grammar", "said"),
        [
            ('root ::= "yes" | "no"', {"yes", "no"}),
            ('{"enum": ["é", 12]}', {'"é"', "12"}),
        ],
    )
    def test_a_grammar_decides_what_can_be_said(self, llamacpp, ask, grammar, said):
        (group,) = llamacpp().sample([ask(n=12, stop=(), max_tokens=12, grammar=grammar)])
        assert {completion.text for completion in group} <= said
        assert {completion.finish for completion in group} == {"eos"}


class TestGivenText:
    def test_log_probabilities_are_those_of_transformers(self, llamacpp, policy):
        states = [state(each) for each in QUESTIONS]
        steps = [Step("It is so.\n"), Step("No."), Step("x = 2"), Step("")]
        ours = llamacpp().token_logprobs(states, steps)
        theirs = policy.token_logprobs(states, steps)
        assert [len(each) for each in ours] == [len(each) for each in theirs]
        np.testing.assert_allclose(np.concatenate(ours), np.concatenate(theirs), atol=1e-4)

    def test_those_of_next_words_too(self, llamacpp, policy):
        states = [state(each) for each in QUESTIONS]
        ours, theirs = (each.next_logprobs(states, ["A", "B"]) for each in (llamacpp(), policy))
        np.testing.assert_allclose(
            [values for values, _ in ours], [values for values, _ in theirs], atol=1e-4
        )
        assert [read for _, read in ours] == [read for _, read in theirs]

    @pytest.mark.parametrize("layers", [(3,), (0, 2, 3), (1,), (2, 1)], ids=str)
    def test_hidden_states_are_those_of_transformers(self, llamacpp, policy, ask, layers):
        made = llamacpp()
        made.feature_layers = policy.feature_layers = layers
        drawn = [one.sample([ask(n=3, max_tokens=9)])[0] for one in (made, policy)]
        states = [state(QUESTIONS[0])] + [
            ask().state.then(Step(c.text, token_ids=c.token_ids)) for c in drawn[1]
        ]
        assert tokens_of([drawn[0]]) == tokens_of([drawn[1]])
        np.testing.assert_allclose(made.features(states), policy.features(states), atol=1e-3)

    def test_those_of_sampled_steps_cost_nothing(self, llamacpp, ask):
        made = llamacpp()
        made.feature_layers = (2, 3)
        (group,) = made.sample([ask(n=3, max_tokens=9)])
        read = made.counters.prefilled
        made.features([ask().state.then(Step(c.text, token_ids=c.token_ids)) for c in group])
        assert made.counters.prefilled == read

    def test_layers_that_llama_cpp_does_not_show_are_refused(self, llamacpp, monkeypatch):
        made = llamacpp()
        monkeypatch.setattr("langchain_qstar.models.llamacpp.context._EXTRACTING", frozenset())
        with pytest.raises(ModelSpecError, match=r"hidden layer 3 of llama only, not \[1\]"):
            made._backend.layers = (1, 3)
        made.feature_layers = (3,)
        assert made.features([state("Who?")]).shape == (1, 32)


class TestOptions:
    @pytest.mark.parametrize(
        "options",
        [
            {"type_k": "f16", "type_v": "f16"},
            {"flash_attention": True},
            {"type_k": "f16", "type_v": "f16", "flash_attention": False},
        ],
        ids=str,
    )
    def test_16_bits_change_log_probabilities_a_little(self, llamacpp, options):
        exact = llamacpp().token_logprobs([state("Who?")], [Step("It is so.\n")])
        rounded = llamacpp(**options).token_logprobs([state("Who?")], [Step("It is so.\n")])
        assert 0 < np.abs(np.subtract(exact, rounded)).max() < 0.3

    @pytest.mark.nano
    def test_keys_and_values_can_be_kept_in_8_bits(self, llamacpp, nano_gguf):
        states = [State("Tom has 4 apples and buys 5. How many apples does Tom have?")]
        steps = [Step("Tom has 4+5=9 apples.\n")]
        exact, small = llamacpp(nano_gguf), llamacpp(nano_gguf, type_k="q8_0", type_v="q8_0")
        (expected,), (found,) = (each.token_logprobs(states, steps) for each in (exact, small))
        assert 0 < np.abs(np.subtract(expected, found)).max() < 0.3
        assert small._limits.cache_bytes < 0.3 * exact._limits.cache_bytes

    @pytest.mark.parametrize(
        ("options", "error", "says"),
        [
            ({"type_k": "int3"}, SettingsError, "choose of f32, f16"),
            ({"max_rows": 0}, SettingsError, "choose 1 to 224"),
            ({"max_rows": 225}, SettingsError, "choose 1 to 224"),
            ({"cache_tokens": 0}, SettingsError, "at least one text"),
            (
                {"type_v": "q8_0", "flash_attention": False},
                ModelSpecError,
                r"(?i)flash.*other types of keys and values",
            ),
            ({"type_k": "q8_0"}, ModelSpecError, r"no context .*other types of keys and values"),
        ],
    )
    def test_what_cannot_be_is_one_line(self, llamacpp, options, error, says):
        with pytest.raises(error, match=says) as caught:
            llamacpp(**options)
        assert "\n" not in str(caught.value)

    def test_a_cache_that_memory_does_not_hold_is_refused_before_it_is_touched(
        self, llamacpp, monkeypatch
    ):
        monkeypatch.setattr("langchain_qstar.models.llamacpp.policy.free_memory", lambda: 10**6)
        with pytest.raises(
            ModelSpecError, match=r"32,768 tokens takes 0\.\d+ GB.*0\.0\d* GB free.*cache_tokens"
        ):
            llamacpp()
        monkeypatch.setattr("langchain_qstar.models.llamacpp.policy.free_memory", lambda: None)
        assert llamacpp().window == 160  # where nobody knows, llama.cpp tries

    def test_layers_on_a_gpu_that_is_not_there_are_a_warning(self, llamacpp, monkeypatch):
        monkeypatch.setattr(library, "llama_supports_gpu_offload", lambda: False)
        with pytest.warns(OffloadWarning, match=r"n_gpu_layers=20.*on the CPU.*GGML_CUDA=on"):
            made = llamacpp(n_gpu_layers=20)
        assert made.gpu_layers == 0
        chain = QStarChain(made, task="nano", settings={"max_pops": 1, "num_samples": 1})
        assert "everything runs on the CPU" in chain.invoke("2 + 3?").usage.shortfalls[0]
        assert llamacpp().shortfalls == ()  # and nobody asked, nobody is warned

    @pytest.mark.parametrize("flag", ["0", "1"])
    def test_weights_are_not_repacked_for_a_processor_on_which_that_crashes(
        self, llamacpp, monkeypatch, flag
    ):
        asked = []
        load = library.llama_model_load_from_file

        def noting(file, parameters):
            asked.append(parameters.use_extra_bufts)
            parameters.use_extra_bufts = False
            return load(file, parameters)

        monkeypatch.setattr(library, "llama_model_load_from_file", noting)
        said = f"CPU : AVX2 = 1 | AMX_INT8 = {flag} | ".encode()
        monkeypatch.setattr(library, "llama_print_system_info", lambda: said)
        llamacpp()
        assert asked == [flag == "0"]

    def test_one_thread_for_a_small_model(self, llamacpp):
        made = llamacpp()
        assert library.llama_n_threads(made._backend._context._pointer) == 1

    def test_a_model_in_several_files(self, llamacpp, tiny_gguf, tmp_path, ask):
        first = split(tiny_gguf, tmp_path)
        assert len(list(tmp_path.glob("*.gguf"))) > 1
        request = ask(n=2, stop=(), max_tokens=9)
        expected = tokens_of(llamacpp().sample([request]))
        assert tokens_of(llamacpp(first).sample([request])) == expected

    @pytest.mark.parametrize("scale", [1.0, 0.5])
    def test_a_lora(self, llamacpp, llama, make_tokenizer, tmp_path, scale):
        file, merged = lora(llama, tmp_path / "lora.gguf", scale)
        adapted = TransformersPolicy(merged, make_tokenizer())
        expected = adapted.token_logprobs([state("Who?")], [Step("It is so.\n")])
        adapted.close()
        found = llamacpp(adapters={file: scale}).token_logprobs(
            [state("Who?")], [Step("It is so.\n")]
        )
        plain = llamacpp().token_logprobs([state("Who?")], [Step("It is so.\n")])
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert np.abs(np.subtract(found, plain)).max() > 0.01

    def test_what_is_no_lora(self, llamacpp, tiny_gguf):
        with pytest.raises(ModelSpecError, match=r"is no LoRA for .*convert_lora_to_gguf"):
            llamacpp(adapters=tiny_gguf)


def split(file, folder):
    """The same model in files of ten tensors each; the first of them."""
    copied(file, folder / "parts.gguf", split_max_tensors=10)
    return next(folder.glob("*-00001-of-*.gguf"))


def copied(file, target, change=lambda writer: None, **options):
    """Write the same model into another file, or several."""
    reader = GGUFReader(file)
    writer = GGUFWriter(target, "llama", **options)
    change(writer)
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            kind = field.types[0]
            inner = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(name, field.contents(), kind, inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def lora(llama, file, scale):
    """A LoRA of rank 2 on the values of the first layer, and the model it makes."""
    import copy

    random_ = np.random.default_rng(3)
    a = random_.normal(size=(2, 32)).astype(np.float32)
    b = random_.normal(size=(16, 2)).astype(np.float32)
    writer = GGUFWriter(file, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 2.0)
    writer.add_tensor("blk.0.attn_v.weight.lora_a", a)
    writer.add_tensor("blk.0.attn_v.weight.lora_b", b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    merged = copy.deepcopy(llama)
    with torch.no_grad():
        values = merged.model.layers[0].self_attn.v_proj.weight
        values += scale * torch.from_numpy(b @ a)  # alpha / rank is one
    return file, merged


@pytest.mark.nano
class TestSearch:
    def test_the_same_seed_grows_the_same_tree_as_with_transformers(self, llamacpp, nano_gguf):
        questions = [problem.question for problem in make_problems("dev", 6)]
        ours, theirs = (
            QStarChain(each, settings={"max_pops": 4}).batch(questions, seed=3)
            for each in (llamacpp(nano_gguf), "nano")
        )
        assert [each.answer for each in ours] == [each.answer for each in theirs]
        assert [grown(each) for each in ours] == [grown(each) for each in theirs]

    def test_a_small_file_searches_as_well(self, llamacpp, tmp_path):
        file = export_gguf(NANO_FOLDER, tmp_path / "nano.gguf", weights="q8_0")
        chain = QStarChain(llamacpp(file), settings={"max_pops": 6})
        question = "Tom has 4 bags. Each bag has 6 apples. How many apples does Tom have?"
        assert chain.invoke(question).answer == "24"


def grown(solution):
    return [(node.id, node.text, node.popped) for node in solution.tree]


class TestFiles:
    def test_no_file(self, llamacpp, tmp_path):
        with pytest.raises(ModelSpecError, match="there is no file"):
            llamacpp(tmp_path / "nothing.gguf")

    def test_a_file_of_another_kind(self, llamacpp, tiny_folder):
        with pytest.raises(ModelSpecError, match="is no GGUF file; for a folder of transformers"):
            llamacpp(tiny_folder / "model.safetensors")

    @pytest.mark.parametrize("share", [0.0001, 0.1, 0.9])
    def test_a_file_that_was_not_downloaded_to_its_end(
        self, llamacpp, tiny_gguf, tmp_path, share, capfd
    ):
        whole = tiny_gguf.read_bytes()
        short = tmp_path / "short.gguf"
        short.write_bytes(whole[: max(8, int(len(whole) * share))])
        with pytest.raises(
            ModelSpecError, match=r"cannot load .*download the file again"
        ) as caught:
            llamacpp(short)
        assert "\n" not in str(caught.value)
        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize("place", [8, 16, 24, 60])
    def test_a_file_whose_head_is_damaged(self, llamacpp, tiny_gguf, tmp_path, place):
        damaged = bytearray(tiny_gguf.read_bytes())
        damaged[place : place + 8] = b"\xff" * 8
        (tmp_path / "damaged.gguf").write_bytes(damaged)
        with pytest.raises(ModelSpecError, match=r"cannot load .*download the file again"):
            llamacpp(tmp_path / "damaged.gguf")

    def test_a_part_alone_of_a_model_in_several_files(self, llamacpp, tiny_gguf, tmp_path):
        first, second, *_ = sorted(split(tiny_gguf, tmp_path).parent.glob("*.gguf"))
        with pytest.raises(ModelSpecError, match="cannot load"):
            llamacpp(second)
        second.unlink()
        with pytest.raises(ModelSpecError, match=r"cannot load .*download the file again"):
            llamacpp(first)

    def test_a_lora_is_no_model(self, llamacpp, llama, tmp_path):
        file, _ = lora(llama, tmp_path / "lora.gguf", 1.0)
        with pytest.raises(ModelSpecError, match="cannot load"):
            llamacpp(file)

    def test_a_model_that_reads_in_both_directions(self, llamacpp, tiny_gguf, tmp_path):
        file = tmp_path / "encoder.gguf"
        copied(tiny_gguf, file, lambda writer: writer.add_causal_attention(value=False))
        with pytest.raises(ModelSpecError, match="does not write from left to right"):
            llamacpp(file)

    def test_an_architecture_that_llama_cpp_does_not_know(self, llamacpp, tmp_path):
        file = tmp_path / "foreign.gguf"
        writer = GGUFWriter(file, "marvin")
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        with pytest.raises(ModelSpecError, match=r"cannot load .*marvin"):
            llamacpp(file)

    def test_a_model_whose_state_cannot_be_forked(self, llamacpp, monkeypatch):
        monkeypatch.setattr(library, "llama_model_is_recurrent", lambda _: True)
        with pytest.raises(ModelSpecError, match=r"cannot be forked.*with transformers instead"):
            llamacpp()

    def test_a_file_without_a_chat_template(self, llamacpp, llama, make_tokenizer, tmp_path, ask):
        llama.save_pretrained(tmp_path / "base")
        make_tokenizer(template=None).save_pretrained(tmp_path / "base")
        file = export_gguf(tmp_path / "base", tmp_path / "base.gguf")
        plain = llamacpp(file)
        assert not plain.chats
        assert llamacpp(file, chat_template="{{ messages }}").chats
        assert plain.path_ids(ask("Hi").state) == plain._codec.encode("Hi\n")

    def test_loading_says_nothing(self, llamacpp, ask, capfd):
        llamacpp().sample([ask()])
        assert capfd.readouterr() == ("", "")


class TestText:
    def test_a_chat_is_rendered_as_by_transformers(self, llamacpp, policy):
        for messages in (
            (("user", "Who?"),),
            (("system", "Be brief."), ("user", "Who?")),
            (("user", "Who?"), ("assistant", "It is "), ("user", "Yes?")),
            (("user", "Who?"), ("assistant", "It is ")),
        ):
            wanted = State("", messages)
            assert llamacpp().path_ids(wanted) == policy.path_ids(wanted)

    def test_a_template_that_trims_messages_can_be_continued(self, llamacpp):
        template = "{% for m in messages %}[{{ m['content'] | trim }}]{% endfor %}"
        made = llamacpp(chat_template=template)
        ids = made.path_ids(State("", (("user", "Who?"), ("assistant", "It is "))))
        assert "".join(made.token_texts(ids)) == "[Who?][It is"

    def test_a_template_that_refuses_the_messages_is_one_line(self, llamacpp, ask):
        made = llamacpp(chat_template="{{ raise_exception('no\nsystem') }}")
        with pytest.raises(ModelSpecError, match=r"the chat template refuses the messages: no$"):
            made.sample([ask()])

    def test_a_question_longer_than_the_window_says_what_helps(self, llamacpp, ask):
        with pytest.raises(QuestionError, match=r"reads at most 159: shorten it$"):
            llamacpp().sample([ask("x" * 200)])

    def test_one_longer_than_the_cache_says_what_else_helps(self, llamacpp, ask, monkeypatch):
        monkeypatch.setattr(library, "llama_model_n_ctx_train", lambda _: 4096)
        made = llamacpp(cache_tokens=256)
        with pytest.raises(QuestionError, match=r"larger cache_tokens \(up to 4096\)"):
            made.sample([ask("x" * 300)])
        assert made.sample([ask("x" * 200, max_tokens=5)])[0][0].generated

    def test_surrogates_do_no_harm(self, llamacpp, ask):
        assert llamacpp().sample([ask("\ud83d \x00 é", max_tokens=2)])


class TestLifetime:
    def test_the_thread_and_the_memory_go_with_the_object(self, tiny_gguf, ask, monkeypatch):
        freed = []

        def noting(name, free):
            def call(pointer):
                freed.append(name)
                free(pointer)

            return call

        for name in ("llama_free", "llama_model_free"):
            monkeypatch.setattr(library, name, noting(name, getattr(library, name)))
        made = LlamaCppPolicy(tiny_gguf, name="short-lived")
        made.sample([ask(max_tokens=1)])
        del made
        gc.collect()
        assert not [thread for thread in threading.enumerate() if thread.name == "short-lived"]
        assert freed == ["llama_free", "llama_model_free"]
