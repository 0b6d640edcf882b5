"""The family of stories about ages."""

from __future__ import annotations

from langchain_qstar.problems.lexicon import people
from langchain_qstar.problems.story import Ref, RejectedError, Story

_TIMES = {2: "twice", 3: "three times", 4: "four times"}


def build_ages(story: Story, size: int) -> None:
    """A chain of ages, then a total, a difference or an age some years on."""
    rng = story.rng
    story.kind = "ages"
    persons = people(rng, max(2, min(6, size + rng.choice((0, 1)))), novel=story.novel)
    first = persons[0]
    age = rng.randint(3, 40)
    ages = {first.name: story.given(age, f"How old is {first.name}?")}
    story.tell(
        ages[first.name], f"{first.name} is {age} [years old|years old].", f"{first.name} is {age}."
    )
    for p in persons[1:]:
        other = rng.choice(list(ages)[-2:])
        i = ages[other]
        lines = (f"{p.name} is {{eq}} years old.", f"{p.name} is {{eq}}.")
        asks = (f"How old is {p.name}?",)
        draw = rng.random()
        try:
            if draw < 0.7:
                k, older = rng.randint(1, 25), rng.random() < 0.55
                ages[p.name] = story.derive("+" if older else "-", [Ref(i), k], lines, asks)
                word = "older" if older else "younger"
                story.tell(
                    ages[p.name],
                    f"{p.name} is {k} years {word} than {other}.",
                    f"{other} is {k} years {'younger' if older else 'older'} than {p.name}.",
                )
            elif draw < 0.9 or story.value(i) % 2:
                k = rng.choice((2, 2, 3))
                ages[p.name] = story.derive("*", [Ref(i), k], lines, asks)
                story.tell(ages[p.name], f"{p.name} is {_TIMES[k]} as old as {other}.")
            else:
                ages[p.name] = story.derive("/", [Ref(i), 2], lines, asks)
                story.tell(ages[p.name], f"{p.name} is half as old as {other}.")
        except RejectedError:
            continue
    names = list(ages)
    draw = rng.random()
    if len(names) > 1 and draw < 0.5:
        chosen = rng.sample(names, min(len(names), rng.choice((2, 2, 3))))
        what = (
            " and ".join(chosen)
            if len(chosen) == 2
            else ", ".join(chosen[:-1]) + " and " + chosen[-1]
        )
        story.derive(
            "+",
            [Ref(ages[n]) for n in chosen],
            ("Together they are {eq} years old.", "The sum is {eq} years."),
            (f"How old are {what} together?", f"What is the sum of the ages of {what}?"),
        )
    elif draw < 0.8:
        name, k = names[-1], rng.randint(2, 20)
        story.derive(
            "+",
            [Ref(ages[name]), k],
            (f"In {k} years {name} is {{eq}} years old.",),
            (f"How old will {name} be in {k} years?",),
        )
