"""The family of stories about prices, purchases, and money paid, saved and shared."""

from __future__ import annotations

from langchain_qstar.problems.lexicon import Holder, people, plural, thing, with_article
from langchain_qstar.problems.story import Ref, RejectedError, Story

_FRACTIONS = {2: "half", 3: "a third", 4: "a quarter"}
_TIMES = {2: "twice", 3: "three times", 4: "four times"}


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
        asks = (
            f"How much does {with_article(noun)} cost?",
            f"What is the price of {with_article(noun)}?",
        )
        lines = (
            f"{with_article(noun).capitalize()} costs {{eq}} dollars.",
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
                f"[{with_article(noun).capitalize()}|Each {noun}|One {noun}] costs {self._dollars(value)}.",
                f"The price of {with_article(noun)} is {self._dollars(value)}.",
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
                f"{who} [buys|bought] {with_article(noun)} for {cost}.",
                f"{who} [pays|paid|spent] {cost} for {with_article(noun)}.",
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
            (f"The {many} cost {{eq}} dollars.", f"For the {many} {who} pays {{eq}} dollars."),
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
        this, that = with_article(noun).capitalize(), with_article(base)
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
                f"{who} [buys|bought] {with_article(noun)}.",
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
        terms: list[int | Ref] = [Ref(cost) for cost in self.costs.values()]
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
