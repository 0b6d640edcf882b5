"""The family of stories about work done over time, and what comes of it."""

from __future__ import annotations

from langchain_qstar.problems.lexicon import Holder, people, plural, thing
from langchain_qstar.problems.story import Ref, RejectedError, Story

_FRACTIONS = {2: "half", 3: "a third", 4: "a quarter"}
_TIMES = {2: "twice", 3: "three times", 4: "four times"}


class Work:
    """Rates, hours, output, orders, packing and pay."""

    VERBS = (
        ("make", "makes"),
        ("bake", "bakes"),
        ("paint", "paints"),
        ("pack", "packs"),
        ("produce", "produces"),
        ("build", "builds"),
        ("sew", "sews"),
        ("plant", "plants"),
        ("clean", "cleans"),
        ("print", "prints"),
        ("pick", "picks"),
        ("collect", "collects"),
        ("wash", "washes"),
    )

    def __init__(self, story: Story, size: int) -> None:
        self.story, self.rng = story, story.rng
        self.workers = people(self.rng, max(1, min(4, (size + 1) // 3 + 1)), novel=story.novel)
        self.noun = thing(self.rng, novel=story.novel)
        self.unit = plural(self.noun)
        self.base, self.third = self.rng.choice(self.VERBS)
        self.period = self.rng.choice(("hour", "hour", "day", "week"))
        self.rates: dict[str, int] = {}
        self.outputs: dict[str, int] = {}
        self.stock: int | None = None

    def rate(self, w: Holder) -> None:
        """The worker's output per period, outright or by relation."""
        rng, story, unit, p = self.rng, self.story, self.unit, self.period
        a = "an" if p == "hour" else "a"
        lines = (f"{w.name} {self.third} {{eq}} {unit} [{a}|per|every] {p}.",)
        asks = (f"How many {unit} does {w.name} {self.base} [in one|per|{a}|every] {p}?",)
        if not self.rates or rng.random() < 0.4:
            value = rng.choice((rng.randint(2, 12), rng.randint(2, 20)))
            index = story.given(value, *asks)
            story.tell(
                index,
                f"{w.name} {self.third} {value} {unit} [{a}|per|every|each] {p}.",
                f"[Each|Every] {p} {w.name} {self.third} {value} {unit}.",
                f"{w.name} can {self.base} {value} {unit} in one {p}.",
            )
        else:
            other = rng.choice(list(self.rates))
            i = self.rates[other]
            if rng.random() < 0.6:
                k, more = rng.randint(1, 12), rng.random() < 0.6
                index = story.derive("+" if more else "-", [Ref(i), k], lines, asks)
                word = "more" if more else "fewer"
                story.tell(
                    index,
                    f"{w.name} {self.third} {k} {word} {unit} [per|{a}|every] {p} than {other}.",
                    f"[Each|Every] {p} {w.name} {self.third} {k} {word} {unit} than {other}.",
                )
            else:
                k = rng.choice((2, 2, 3))
                index = story.derive("*", [Ref(i), k], lines, asks)
                story.tell(
                    index,
                    f"{w.name} {self.third} {_TIMES[k]} as many {unit} [per|{a}|every] {p} as {other}.",
                    f"{w.name} works {_TIMES[k]} as fast as {other}.",
                )
        self.rates[w.name] = index

    def work(self, w: Holder) -> None:
        """The worker works for some periods."""
        rng, story, unit, p = self.rng, self.story, self.unit, self.period
        time = rng.randint(2, 9)
        index = story.derive(
            "*",
            [Ref(self.rates[w.name]), time],
            (
                f"{w.name} {self.third} {{eq}} {unit}.",
                f"{w.name} {self.third} {{eq}} {unit} in {time} {plural(p)}.",
            ),
            (f"How many {unit} does {w.name} {self.base}[| in total| in {time} {plural(p)}]?",),
        )
        story.tell(
            index,
            f"{w.name} works [for |]{time} {plural(p)}.",
            f"{w.name} works on this for {time} {plural(p)}.",
        )
        self.outputs[w.name] = index

    def finish(self) -> None:
        """Totals, orders, broken pieces, boxes and sales."""
        story, unit = self.story, self.unit
        if self.stock is None:
            names = list(self.outputs)
            if not names:
                raise RejectedError
            if len(names) == 1:
                self.stock = self.outputs[names[0]]
                return
            who = (
                " and ".join(names)
                if len(names) == 2
                else ", ".join(names[:-1]) + " and " + names[-1]
            )
            self.stock = story.derive(
                "+",
                [Ref(self.outputs[n]) for n in names],
                (f"Together they {self.base} {{eq}} {unit}.", f"In total that is {{eq}} {unit}."),
                (
                    f"How many {unit} do {who} {self.base} [together|in total|altogether|in all]?",
                    f"How many {unit} do they {self.base} [together|in total|altogether|in all]?",
                ),
            )
            return
        self._use_stock()

    def _use_stock(self) -> None:
        rng, story, unit = self.rng, self.story, self.unit
        assert self.stock is not None
        value, draw = story.value(self.stock), rng.random()
        fits = [k for k in range(2, 10) if value % k == 0 and value // k > 1]
        if draw < 0.3:
            k = rng.randint(1, max(1, min(40, value - 1)))
            self.stock = story.derive(
                "-",
                [Ref(self.stock), k],
                (f"{{eq}} {unit} are left.", f"That leaves {{eq}} {unit}."),
                (f"How many {unit} are left?", f"How many good {unit} are there?"),
            )
            story.tell(
                self.stock,
                f"{k} of the {unit} [are broken|are bad|get lost|are thrown away].",
                f"Then {k} [{unit}|of them] are [sold|given away|damaged].",
                event=True,
            )
        elif draw < 0.5:
            order = value + rng.randint(2, 50)
            story.derive(
                "-",
                [order, Ref(self.stock)],
                (f"{{eq}} {unit} are still missing.", f"They still need {{eq}} {unit}."),
                (
                    f"How many {unit} are still [missing|needed]?",
                    f"How many more {unit} are needed?",
                ),
            )
            story.tell(
                len(story.quantities) - 1,
                f"The order is for {order} {unit}.",
                f"In all {order} {unit} are needed.",
                f"They need {order} {unit}.",
                event=True,
            )
            self.stock = None
            self.outputs = {}
        elif draw < 0.75 and fits:
            m = rng.choice(fits)
            index = story.derive(
                "/",
                [Ref(self.stock), m],
                ("That makes {eq} boxes.", "They fill {eq} boxes."),
                ("How many boxes are [filled|needed|there]?",),
            )
            story.tell(
                index,
                f"The {unit} are packed [in|into] boxes of {m}.",
                f"Each box holds {m} {unit}.",
                f"{m} {unit} go into [each|every|one] box.",
                event=True,
            )
            price = rng.randint(2, 9)
            money = story.derive(
                "*",
                [Ref(index), price],
                ("The boxes bring {eq} dollars.", "That is {eq} dollars."),
                ("How many dollars do the boxes bring?", "How much money is made?"),
            )
            story.tell(
                money, f"[Each|Every] box is sold for [{price} dollars|${price}].", event=True
            )
        else:
            price = rng.randint(2, 9)
            money = story.derive(
                "*",
                [Ref(self.stock), price],
                (f"The {unit} bring {{eq}} dollars.", "They get {eq} dollars."),
                ("How much money is made?", f"How many dollars do the {unit} bring?"),
            )
            story.tell(
                money,
                f"[Each|Every] {self.noun} is sold for [{price} dollars|${price}].",
                f"The {unit} are sold for [{price} dollars|${price}] each.",
                event=True,
            )


def build_work(story: Story, size: int) -> None:
    """Grow a work story to about `size` operations."""
    work = Work(story, size)
    story.kind = "work"
    for worker in work.workers:
        try:
            work.rate(worker)
        except RejectedError:
            continue
        try:
            work.work(worker)
        except RejectedError:
            continue
        if sum(q.op is not None for q in story.quantities) >= size:
            break
    for _ in range(8):
        if sum(q.op is not None for q in story.quantities) > size:
            break
        mark = len(story.quantities), len(story.facts)
        try:
            work.finish()
        except RejectedError:
            del story.quantities[mark[0] :]
            del story.facts[mark[1] :]
