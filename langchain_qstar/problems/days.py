"""The family of stories about amounts on several days."""

from __future__ import annotations

from langchain_qstar.problems.lexicon import DAYS, people
from langchain_qstar.problems.story import Ref, RejectedError, Story

_TIMES = {2: "twice", 3: "three times", 4: "four times"}


_DAILY = (
    ("read", "reads", "read", "pages"),
    ("walk", "walks", "walked", "kilometers"),
    ("run", "runs", "ran", "miles"),
    ("sell", "sells", "sold", "tickets"),
    ("bake", "bakes", "baked", "cakes"),
    ("pick", "picks", "picked", "apples"),
    ("earn", "earns", "earned", "dollars"),
    ("save", "saves", "saved", "dollars"),
    ("collect", "collects", "collected", "shells"),
    ("drive", "drives", "drove", "kilometers"),
    ("write", "writes", "wrote", "letters"),
    ("make", "makes", "made", "cards"),
    ("catch", "catches", "caught", "fish"),
    ("plant", "plants", "planted", "trees"),
)


def build_days(story: Story, size: int) -> None:
    """One person's amounts on several days, then the total or what is still missing."""
    rng = story.rng
    story.kind = "days"
    (p,) = people(rng, 1, novel=story.novel)
    base, third, past, unit = rng.choice(_DAILY)
    days = rng.sample(DAYS, min(7, max(2, size + rng.choice((-1, 0, 0, 1)))))
    tells, he = rng.choice((third, past)), rng.choice((p.name, p.pronoun.capitalize()))
    amounts: dict[str, int] = {}
    for day in days:
        lines = (f"On {day} {p.name} {third} {{eq}} {unit}.", f"{day}: {{eq}} {unit}.")
        asks = (f"How many {unit} does {p.name} {base} on {day}?",)
        other = rng.choice(list(amounts)[-2:]) if amounts else ""
        try:
            amounts[day] = _day(
                story,
                (lines, asks),
                (p.name if not amounts else he, tells, unit),
                (day, other),
                amounts.get(other),
            )
        except RejectedError:
            continue
    chosen = list(amounts)
    total = story.derive(
        "+",
        [Ref(amounts[d]) for d in chosen],
        (f"In total {p.name} {third} {{eq}} {unit}.", f"Together that is {{eq}} {unit}."),
        (
            f"How many {unit} [does|did] {p.name} {base} [in total|in all|altogether|on these days]?",
            f"How many {unit} [does|did] {p.pronoun} {base} [in total|in all|altogether]?",
            f"How many {unit} is that [in total|altogether]?",
        ),
    )
    if rng.random() < 0.4:
        goal = story.value(total) + rng.randint(2, 40)
        rest = story.derive(
            "-",
            [goal, Ref(total)],
            (f"{{eq}} {unit} are left.", f"{p.name} still needs {{eq}} {unit}."),
            (
                f"How many {unit} are [left|still missing]?",
                f"How many more {unit} does {p.name} need?",
            ),
        )
        story.tell(
            rest,
            f"{p.name} wants to {base} {goal} {unit}[| in all].",
            f"The goal is {goal} {unit}.",
            f"{p.name} has to {base} {goal} {unit}.",
            event=True,
        )


def _day(
    story: Story,
    wording: tuple[tuple[str, ...], tuple[str, ...]],
    said: tuple[str, str, str],
    days: tuple[str, str],
    i: int | None,
) -> int:
    """The amount of a day, given or by relation to quantity `i`, that of an earlier day."""
    rng, (lines, asks), (he, tells, unit), (day, other) = story.rng, wording, said, days
    draw = rng.random()
    if i is None or draw < 0.35:
        n = rng.randint(2, 30)
        index = story.given(n, *asks)
        story.tell(
            index,
            f"{he} {tells} {n} {unit} on {day}.",
            f"On {day} {he.lower() if he in ('He', 'She') else he} {tells} {n} {unit}.",
        )
        return index
    if draw < 0.7:
        k, more = rng.randint(2, 15), rng.random() < 0.6
        index = story.derive("+" if more else "-", [Ref(i), k], lines, asks)
        word = "more" if more else "fewer"
        story.tell(
            index,
            f"{he} {tells} {k} {word} {unit} on {day} than on {other}.",
            f"{he} {tells} {k} {word} on {day} than on {other}.",
        )
    elif draw < 0.92 or story.value(i) % 2:
        k = rng.choice((2, 2, 3))
        index = story.derive("*", [Ref(i), k], lines, asks)
        story.tell(
            index,
            f"{he} {tells} {_TIMES[k]} as many {unit} on {day} as on {other}.",
            f"{he} {tells} {_TIMES[k]} as many on {day} as on {other}.",
        )
    else:
        index = story.derive("/", [Ref(i), 2], lines, asks)
        story.tell(index, f"{he} {tells} half as many {unit} on {day} as on {other}.")
    return index
