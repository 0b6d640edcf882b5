"""The families of stories about money and about work done over time."""

from __future__ import annotations

from langchain_qstar.problems.lexicon import Holder, people, plural, thing
from langchain_qstar.problems.story import Ref, RejectedError, Story

_FRACTIONS = {2: "half", 3: "a third", 4: "a quarter"}
_TIMES = {2: "twice", 3: "three times", 4: "four times"}


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


class Shopping:
    """Prices, amounts bought, totals, money paid, saved and shared."""

    def __init__(self, story: Story, size: int) -> None:
        self.story, self.rng = story, story.rng
        self.buyer: Holder = people(self.rng, 1, novel=story.novel)[0]
        wanted = max(1, min(5, (size + 1) // 2 + self.rng.choice((0, 0, 1))))
        self.items: list[str] = []
        while len(self.items) < wanted:
            noun = thing(self.rng, novel=story.novel)
            if noun not in self.items:
                self.items.append(noun)
        self.prices: dict[str, int] = {}
        self.costs: dict[str, int] = {}
        self.money: int | None = None
        self.total: int | None = None

    def _dollars(self, n: int) -> str:
        return f"[{n} dollars|${n}]"

    def price(self, noun: str) -> None:
        """Give the price of an item, outright or by relation to another."""
        rng, story = self.rng, self.story
        asks = (f"How much does {_article(noun)} cost?", f"What is the price of {_article(noun)}?")
        lines = (
            f"{_article(noun).capitalize()} costs {{eq}} dollars.",
            f"One {noun} costs {{eq}} dollars.",
        )
        if not self.prices or rng.random() < 0.45:
            value = rng.choice((rng.randint(2, 12), rng.randint(2, 20)))
            index = story.given(value, *asks)
            if rng.random() < 0.4:
                self.prices[noun] = index
                self._buy_at(noun, value)
                return
            story.tell(
                index,
                f"[{_article(noun).capitalize()}|Each {noun}|One {noun}] costs {self._dollars(value)}.",
                f"The price of {_article(noun)} is {self._dollars(value)}.",
                f"{plural(noun).capitalize()} cost {self._dollars(value)} each.",
            )
        else:
            index = self._related_price(noun, lines, asks)
        self.prices[noun] = index

    def _buy_at(self, noun: str, value: int) -> None:
        """Price and purchase in one sentence: `buys 4 pens for $3 each`."""
        rng, story, who = self.rng, self.story, self.buyer.name
        index, cost = self.prices[noun], self._dollars(value)
        if rng.random() < 0.35:
            self.costs[noun] = index
            story.tell(
                index,
                f"{who} [buys|bought] {_article(noun)} for {cost}.",
                f"{who} [pays|paid|spent] {cost} for {_article(noun)}.",
            )
            return
        count = rng.randint(2, 9)
        many = plural(noun)
        self.costs[noun] = self._cost(noun, count)
        story.tell(
            (index, self.costs[noun]),
            f"{who} [buys|bought] {count} {many} [for|at] {cost} each.",
            f"{who} [buys|bought] {count} {many} that cost {cost} each.",
            f"{who} [buys|bought] {count} {many}. [Each|Every|One] {noun} costs {cost}.",
            f"{who} [buys|bought] {count} {many}. They cost {cost} each.",
        )

    def _cost(self, noun: str, count: int) -> int:
        many, who = plural(noun), self.buyer.name
        return self.story.derive(
            "*",
            [count, Ref(self.prices[noun])],
            (f"The {many} cost {{eq}} dollars.", f"{who} pays {{eq}} dollars for the {many}."),
            (
                f"How much do the {many} cost[| together]?",
                f"How much does {who} pay for the {many}?",
                f"How [much money|many dollars] does {who} spend on {many}?",
            ),
        )

    def _related_price(self, noun: str, lines: tuple[str, ...], asks: tuple[str, ...]) -> int:
        rng, story = self.rng, self.story
        base = rng.choice(list(self.prices))
        i, value = self.prices[base], story.value(self.prices[base])
        this, that = _article(noun).capitalize(), _article(base)
        fits = [k for k in _FRACTIONS if value % k == 0 and value > k]
        draw = rng.random()
        if draw < 0.5:
            k, more = rng.randint(1, 12), rng.random() < 0.6
            index = story.derive("+" if more else "-", [Ref(i), k], lines, asks)
            story.tell(
                index,
                f"{this} costs {self._dollars(k)} {'more' if more else 'less'} than {that}.",
                f"{this} is {self._dollars(k)} {'more expensive' if more else 'cheaper'} than {that}.",
            )
        elif draw < 0.8 or not fits:
            k = rng.choice((2, 2, 3, 4))
            index = story.derive("*", [Ref(i), k], lines, asks)
            story.tell(
                index,
                f"{this} costs [{_TIMES[k]}|{_TIMES[k] if k == 2 else str(k) + ' times'}] as much as {that}.",
                f"{this} costs {_TIMES[k]} the price of {that}.",
            )
        else:
            k = rng.choice(fits)
            index = story.derive("/", [Ref(i), k], lines, asks)
            story.tell(index, f"{this} costs {_FRACTIONS[k]} as much as {that}.")
        return index

    def buy(self, noun: str) -> None:
        """Buy one or several of an item; several cost one multiplication."""
        rng, story, who = self.rng, self.story, self.buyer.name
        many = plural(noun)
        if rng.random() < 0.2 and len(self.items) > 1:
            self.costs[noun] = self.prices[noun]
            story.tell(
                self.prices[noun],
                f"{who} [buys|bought] one {noun}.",
                f"{who} [buys|bought] {_article(noun)}.",
            )
            return
        count = rng.randint(2, 9)
        index = self._cost(noun, count)
        story.tell(
            index,
            f"{who} [buys|bought] {count} {many}.",
            f"{who} [needs|takes|gets] {count} {many}.",
            f"{who} wants to buy {count} {many}.",
        )
        self.costs[noun] = index

    def sum_up(self) -> None:
        """Total cost of all purchases, two or three at a time."""
        story, who = self.story, self.buyer.name
        if len(self.costs) < 2:
            self.total = next(iter(self.costs.values()), None)
            return
        terms = [Ref(cost) for cost in self.costs.values()]
        lines = (
            f"{who} pays {{eq}} dollars[| in total].",
            "The total is {eq} dollars.",
            "Together this costs {eq} dollars.",
        )
        asks = (
            f"How [much|much money|many dollars] does {who} [pay|spend] [in total|in all|altogether]?",
            "How much do [all the things|they] cost [together|in total]?",
            f"How much does {who} pay?",
            "What is the total cost?",
        )
        while len(terms) > 3:
            index = story.derive(
                "+", terms[:2], ("So far that is {eq} dollars.",), ("How much is it so far?",)
            )
            terms = [Ref(index), *terms[2:]]
        self.total = story.derive("+", terms, lines, asks)

    def after(self) -> None:
        """Change, discount, delivery, sharing, or comparison with savings."""
        rng, story, who = self.rng, self.story, self.buyer.name
        if self.total is None:
            raise RejectedError
        value = story.value(self.total)
        draw = rng.random()
        if draw < 0.3:
            self._change(value)
        elif draw < 0.5:
            k = rng.randint(1, max(1, min(20, value - 1)))
            op, word = ("-", "discount") if rng.random() < 0.5 else ("+", "fee")
            self.total = story.derive(
                op,
                [Ref(self.total), k],
                (
                    f"With the {word} {who} pays {{eq}} dollars.",
                    f"[So|Then] {who} pays {{eq}} dollars.",
                ),
                (f"How [much|many dollars] does {who} pay [in the end|with the {word}]?",),
            )
            forms = (
                (
                    f"{who} has a coupon for {self._dollars(k)} off.",
                    f"{who} gets a discount of {self._dollars(k)}.",
                )
                if op == "-"
                else (
                    f"{who} also pays a fee of {self._dollars(k)}.",
                    f"There is a delivery fee of {self._dollars(k)}.",
                )
            )
            story.tell(self.total, *forms, event=True)
        elif draw < 0.75:
            fits = [k for k in range(2, 10) if value % k == 0 and value // k > 1]
            if not fits:
                raise RejectedError
            m = rng.choice(fits)
            index = story.derive(
                "/",
                [Ref(self.total), m],
                ("Each person pays {eq} dollars.", "Everyone pays {eq} dollars."),
                (
                    "How much does each person pay?",
                    "How many dollars does each person pay?",
                    "How much does each of them pay?",
                ),
            )
            story.tell(
                index,
                f"{who} and {self.buyer.possessive} friends, {m} people in all, share the cost equally.",
                f"{m} people share the cost equally.",
                f"The cost is split equally [among|between] {m} people.",
                event=True,
            )
        else:
            self._savings(value)

    def _change(self, value: int) -> None:
        rng, story, who = self.rng, self.story, self.buyer.name
        notes = [n for n in (10, 20, 50, 100, 200, 300) if n > value]
        paid = rng.choice(notes[:2]) if notes and rng.random() < 0.7 else value + rng.randint(1, 60)
        assert self.total is not None
        index = story.derive(
            "-",
            [paid, Ref(self.total)],
            (
                f"{who} gets {{eq}} dollars back.",
                f"{who} has {{eq}} dollars left.",
                "The change is {eq} dollars.",
            ),
            (
                f"How [much|much money|many dollars] does {who} have left?",
                f"How much change does {who} get?",
                f"How [much money|many dollars] does {who} get back?",
                "How much money is left?",
            ),
        )
        story.tell(
            index,
            f"{who} pays with {self._dollars(paid)}.",
            f"{who} has {self._dollars(paid)}.",
            f"{who} had {self._dollars(paid)} at first.",
            f"{who} goes to the shop with {self._dollars(paid)}.",
            event=rng.random() < 0.6,
        )
        self.total = None

    def _savings(self, value: int) -> None:
        rng, story, who = self.rng, self.story, self.buyer.name
        each = rng.randint(2, 25)
        weeks = value // each + rng.randint(1, 8)
        if weeks > 15:
            raise RejectedError
        period = rng.choice(("week", "month", "day"))
        saved = story.derive(
            "*",
            [each, weeks],
            (f"{who} saves {{eq}} dollars.", f"{who} has saved {{eq}} dollars."),
            (f"How [much money|many dollars] does {who} save?",),
        )
        story.tell(
            saved,
            f"{who} saves {self._dollars(each)} [a|every|each] {period} for {weeks} {plural(period)}.",
            f"{who} saved {self._dollars(each)} [a|every|each] {period} for {weeks} {plural(period)} before.",
        )
        assert self.total is not None
        story.derive(
            "-",
            [Ref(saved), Ref(self.total)],
            (f"{who} has {{eq}} dollars left.", f"{who} keeps {{eq}} dollars."),
            (
                f"How [much|much money|many dollars] does {who} have left [after paying|after shopping|]?",
            ),
        )
        self.total = None


def build_shopping(story: Story, size: int) -> None:
    """Grow a shopping story to about `size` operations."""
    shop = Shopping(story, size)
    story.kind = "shopping"
    for noun in shop.items:
        try:
            shop.price(noun)
        except RejectedError:
            continue
        if noun not in shop.costs:
            shop.buy(noun)
    if story.rng.random() < 0.9 or size > 3:
        shop.sum_up()
    for _ in range(8):
        if sum(q.op is not None for q in story.quantities) >= size:
            break
        mark = len(story.quantities), len(story.facts)
        try:
            shop.after()
        except RejectedError:
            del story.quantities[mark[0] :]
            del story.facts[mark[1] :]


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
                f"In {time} {plural(p)} {w.name} {self.third} {{eq}} {unit}.",
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
