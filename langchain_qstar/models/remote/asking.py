"""Between sample requests and the wire: what is asked, and what the replies mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from langchain_qstar.models.instruction import estimated_tokens, instruction, kept
from langchain_qstar.models.remote.abilities import CONTINUE, Abilities
from langchain_qstar.models.remote.wire import SEEDS, Choice, Reply, chat_messages
from langchain_qstar.protocols import Completion, Finish, SampleRequest, Step
from langchain_qstar.stepping.thinking import apart, begins, is_cut

THOUGHT_TOKENS: Final = 4096
"""Most tokens of a thought that a server tells in its reply."""

_BLANK_LINE: Final = "\n\n"


def body_of(
    request: SampleRequest,
    seeds: Sequence[int],
    name: str,
    abilities: Abilities,
    *,
    thinks: bool = False,
) -> dict[str, Any]:
    """The JSON of one request for `len(seeds)` samples.

    A model that `thinks` in its reply is not stopped, and has room for a thought.
    """
    can = abilities.options
    body: dict[str, Any] = {
        "model": name,
        **_prompt(request, abilities),
        "max_tokens": _most(request.max_tokens + (THOUGHT_TOKENS if thinks else 0), request.budget),
        "temperature": request.temperature,
        "top_p": request.top_p,
    }
    if len(seeds) > 1:
        body["n"] = len(seeds)
    if "seed" in can:
        body["seed"] = seeds[0] % (SEEDS - 1)
    stop = () if thinks else stops_of(request, abilities)
    if "stop" in can and stop:
        body["stop"] = list(stop)
    if "logprobs" in can:
        body["logprobs"] = 1 if abilities.way == "text" else True
    # Sent even where nothing is asked for: llama.cpp's servers have defaults of their own.
    if "top_k" in can:
        body["top_k"] = request.top_k or abilities.every
    if "min_p" in can:
        body["min_p"] = request.min_p
    if "repetition_penalty" in can:  # the names that vLLM and SGLang, and llama.cpp, have for it
        body["repetition_penalty"] = body["repeat_penalty"] = request.repetition_penalty
    return body


def _most(limit: int, budget: int | None) -> int:
    return limit if budget is None else min(limit, budget)


def stops_of(request: SampleRequest, abilities: Abilities) -> tuple[str, ...]:
    """The stop strings to send: where a step of several lines ends, a blank line is at most."""
    if request.stop or request.ends is None or request.whole or abilities.way == "instruct":
        return request.stop
    return (_BLANK_LINE,)


def is_begun(request: SampleRequest, completion: Completion, abilities: Abilities) -> bool:
    """Whether a completion was stopped at a blank line inside of its step."""
    return (
        stops_of(request, abilities) == (_BLANK_LINE,)
        and request.stop == ()
        and completion.finish == "stop"
        and not request.end_in(completion.text)
    )


def left_of(request: SampleRequest, completion: Completion) -> int:
    """The tokens that a completion may still grow by."""
    return _most(request.max_tokens, request.budget) - completion.generated


def rest_of(request: SampleRequest, seed: int, begun: str, left: int) -> SampleRequest:
    """The request for the rest of a step of which `begun` is there, in at most `left` tokens."""
    state = request.state.then(Step(begun))
    ends, before = request.ends, begun[len(request.prefill) :]
    assert ends is not None

    def ends_after(text: str) -> int:
        return max(0, ends(before + text) - len(before))

    return replace(
        request,
        state=state,
        seeds=(seed,),
        prefill="",
        max_tokens=left,
        ends=ends_after,
        budget=None if request.budget is None else left,
    )


def with_rest(request: SampleRequest, begun: Completion, rest: Completion) -> Completion:
    """Both as one completion, cut where the step ends."""
    text = begun.text + rest.text
    end = request.end_in(text)
    silent = rest.finish == "stop" and not rest.text.strip()
    known = begun.logprobs and rest.logprobs
    return replace(
        rest,
        text=text[:end] if end else text,
        logprobs=begun.logprobs + rest.logprobs if known else (),
        finish="stop" if end else "eos" if silent else rest.finish,
        generated=begun.generated + rest.generated,
        prompt_tokens=rest.prompt_tokens,
        thought_tokens=begun.thought_tokens + rest.thought_tokens,
    )


def _prompt(request: SampleRequest, abilities: Abilities) -> dict[str, Any]:
    state = request.state
    messages = state.messages or (("user", state.question),)
    begun = state.text + request.prefill
    if abilities.template is not None:
        template = abilities.template
        return {"prompt": template.render(messages) + template.foreign(begun)}
    if abilities.way == "instruct":
        return {"messages": chat_messages(instruction(request))}
    if not begun:
        return {"messages": chat_messages(messages)}
    return {"messages": chat_messages((*messages, ("assistant", begun))), **CONTINUE}


def unheeded(request: SampleRequest, abilities: Abilities) -> dict[str, str]:
    """What of the request the server does not know, by field."""
    wanted = {
        "top_k": request.top_k != 0,
        "min_p": request.min_p != 0,
        "repetition_penalty": request.repetition_penalty != 1,
        "top_logprobs": request.top_logprobs != 0,
    }
    return {
        name: f"{name}: not known to the server; left out"
        for name, is_wanted in wanted.items()
        if is_wanted and name not in abilities.options
    }


def completions_of(
    request: SampleRequest,
    reply: Reply,
    abilities: Abilities,
    *,
    enforced: bool = False,
    thinks: bool = False,
) -> list[Completion]:
    """One completion for each choice of a reply.

    A text is left as it is where the request's grammar was `enforced`. A model that
    `thinks` in its reply was not stopped by anything.

    What the server counted is shared out: the tokens it generated by the tokens
    it told of each choice, else by length; the prompt, read once, is reused by
    every choice after the first.
    """
    thoughts = [apart(choice.text)[0] for choice in reply.choices]
    stopped_by = () if thinks else stops_of(request, abilities)
    texts = [
        _ended(request, _said(choice), abilities, enforced, stopped_by) for choice in reply.choices
    ]
    generated = shares(reply)
    sent = _prompt(request, abilities)
    prompt_tokens = reply.prompt_tokens
    if prompt_tokens is None:
        prompt_tokens = estimated_tokens(str(sent.get("prompt") or sent.get("messages")))
    return [
        Completion(
            text=text,
            logprobs=_logprobs(choice, text.removeprefix(request.prefill)),
            finish=finish,
            generated=count,
            prompt_tokens=prompt_tokens,
            reused_tokens=prompt_tokens if number else min(reply.cached_tokens, prompt_tokens),
            thought_tokens=min(count, estimated_tokens(thoughts[number])),
        )
        for number, (choice, (text, finish), count) in enumerate(
            zip(reply.choices, texts, generated, strict=True)
        )
    ]


def ignores_stop(request: SampleRequest, reply: Reply) -> bool:
    """Whether the server went on after a stop string."""
    return any(
        0 < request.end_in(said.text) < len(said.text.rstrip())
        for said in map(_said, reply.choices)
    )


def _ended(
    request: SampleRequest,
    choice: Choice,
    abilities: Abilities,
    enforced: bool,  # noqa: FBT001
    stopped_by: Sequence[str],
) -> tuple[str, Finish]:
    """The completion's text, with the stop string that ended it, and how it ended."""
    cut = choice.finish == "length"
    if abilities.way == "instruct" and not enforced:
        return kept(choice.text, request, cut=cut)
    text = request.prefill + choice.text
    if end := request.end_in(text):
        return text[:end], "stop"
    if cut:
        return text, "length"
    mark = _mark(choice, stopped_by, guess=not enforced)
    return (text + mark, "stop") if mark else (text, "eos")


def _said(choice: Choice) -> Choice:
    """A choice without the thought that it begins with; one that is all thought was cut."""
    if not begins(choice.text):
        return choice
    finish = "length" if is_cut(choice.text) else choice.finish
    return replace(choice, text=apart(choice.text)[1], tokens=None, logprobs=(), finish=finish)


def _mark(choice: Choice, stopped_by: Sequence[str], *, guess: bool) -> str:
    """The stop string that ended a choice, empty when the model itself ended it."""
    if choice.matched is not None:
        return choice.matched if choice.matched in stopped_by else ""
    if choice.tokens:
        said = "".join(choice.tokens)
        return min(((said.find(m), m) for m in stopped_by if m in said), default=(0, ""))[1]
    # Not told: a text that ends where a step may end is taken for a step.
    return stopped_by[0] if guess and stopped_by and choice.text.strip() else ""


def _logprobs(choice: Choice, text: str) -> tuple[float, ...]:
    """Those of the tokens that begin within `text`."""
    length, found = 0, []
    for token, logprob in zip(choice.tokens or (), choice.logprobs, strict=True):
        if length >= len(text):
            break
        found.append(logprob)
        length += len(token)
    return tuple(found)


def shares(reply: Reply) -> list[int]:
    """The generated tokens of each choice; together what the server counted."""
    sizes = [
        estimated_tokens(choice.text) if choice.tokens is None else len(choice.tokens)
        for choice in reply.choices
    ]
    total = reply.completion_tokens
    if total is None or total == sum(sizes):
        return sizes
    weight = sum(sizes) or 1
    shares = [total * size // weight for size in sizes]
    shares[0] += total - sum(shares)
    return shares
