"""What is asked in the end: totals, differences, shares, packs, sales."""

from __future__ import annotations

from langchain_qstar.problems.events import Events
from langchain_qstar.problems.lexicon import Holder
from langchain_qstar.problems.story import Ref, RejectedError


class Conclusions(Events):
    """What is asked in the end: totals, differences, shares, packs, sales."""

    def conclude(self) -> None:
        """Add totals, differences, shares, packs or sales over what holders have now."""
        draw = self.rng.random()
        if len(self.holders) > 1 and draw < 0.5:
            self._total()
        elif len(self.holders) > 1 and draw < 0.65:
            self._difference()
        elif draw < 0.75:
            self._share()
        elif draw < 0.87:
            self._pack()
        else:
            self._sell()

    def _total(self) -> None:
        k = self.rng.choice((2, 2, 3)) if len(self.holders) > 2 else 2
        group = self.rng.sample(self.holders, k)
        unit, base = self.measure.unit, self.measure.base
        names = [h.name for h in group]
        who = " and ".join(names) if k == 2 else f"{names[0]}, {names[1]} and {names[2]}"
        index = self.story.derive(
            "+",
            [Ref(self.latest[n]) for n in names],
            (
                f"Together they {base} {{eq}} {unit}.",
                f"{who} {base} {{eq}} {unit} [together|in total].",
                f"In total that is {{eq}} {unit}.",
            ),
            (
                f"How many {unit} do {who} {base} [together|in total|in all|altogether]?",
                f"How many {unit} do [they|{who}] {base} [together|in total|in all|altogether|combined]?"
                if len(self.holders) == k
                else f"How many {unit} do {who} {base} [together|combined]?",
                f"What is the total number of {unit} {who} {base}?",
            ),
        )
        they = Holder("they", "they", "their", plural=True, past=group[0].past)
        if self.measure.countable and group[0].person and "they" not in self.latest:
            self.story.tell(
                index,
                f"{who} put [all their {unit}|their {unit}] together.",
                f"{who} [combine|join] their {unit}.",
                event=True,
            )
            self.holders = [h for h in self.holders if h.name not in names]
            self.add(they, index)

    def _difference(self) -> None:
        a, b = self.rng.sample(self.holders, 2)
        if self.story.value(self.latest[a.name]) < self.story.value(self.latest[b.name]):
            a, b = b, a
        unit, base = self.measure.unit, self.measure.base
        self.story.derive(
            "-",
            [Ref(self.latest[a.name]), Ref(self.latest[b.name])],
            (
                f"{self.states(a)} {{eq}} more {unit} than {b.name}.",
                f"The difference is {{eq}} {unit}.",
            ),
            (
                f"How many more {unit} {self._do(a)} {a.name} {base} than {b.name}?",
                f"How many fewer {unit} {self._do(b)} {b.name} {base} than {a.name}?",
            ),
        )

    def _divisor(self, value: int) -> int:
        fits = [k for k in range(2, 10) if value % k == 0 and value // k > 1]
        if not fits:
            raise RejectedError
        return self.rng.choice(fits)

    def _share(self) -> None:
        h = self.rng.choice(self.holders)
        m, unit = self._divisor(self.story.value(self.latest[h.name])), self.measure.unit
        if not (self.measure.countable and h.person):
            raise RejectedError
        if self.rng.random() < 0.35:
            self._share_into_boxes(h, m)
            return
        who = self.rng.choice(("friends", "children", "kids", "people", "students", "cousins"))
        one = {"people": "person", "children": "child"}.get(who, who[:-1])
        index = self.story.derive(
            "/",
            [Ref(self.latest[h.name]), m],
            (f"Each {one} gets {{eq}} {unit}.", f"Every {one} gets {{eq}} {unit}."),
            (
                f"How many {unit} does each {one} get?",
                f"How many {unit} does [every|one] {one} get?",
                f"How many {unit} will each {one} [get|have|receive]?",
                f"How many does each {one} get?",
            ),
        )
        verb, then = h.verb("share", "shares"), self._then()
        self.story.tell(
            index,
            f"{then}{h.name} {verb} [all the|{h.possessive}|the] {unit} equally [among|between|with] {m} {who}.",
            f"{then}{h.name} {verb} them equally [among|between] {m} {who}.",
            f"{then}{m} {who} share the {unit} of {h.name} equally."
            if not h.plural
            else f"{then}{m} {who} share the {unit} equally.",
            f"{then}{h.name} {h.verb('divide', 'divides')} [all the|the] {unit} equally among {m} {who}.",
            event=True,
        )
        if self.rng.random() < 0.4:
            extra = self.rng.randint(2, 20)
            had = self.story.derive(
                "+",
                [Ref(index), extra],
                (f"Then each {one} has {{eq}} {unit}.", f"Each {one} has {{eq}} {unit} now."),
                (f"How many {unit} does each {one} have [now|in the end]?",),
            )
            self.story.tell(
                had,
                f"Each {one} already had {extra} {unit}.",
                f"Each of the {who} already had {extra} {unit}.",
                f"Before this each {one} had {extra} {unit}.",
                event=True,
            )

    def _share_into_boxes(self, h: Holder, m: int) -> None:
        unit, (boxes, box) = self.measure.unit, self._containers()
        index = self.story.derive(
            "/",
            [Ref(self.latest[h.name]), m],
            (f"Each {box} has {{eq}} {unit}.", f"There are {{eq}} {unit} in each {box}."),
            (
                f"How many {unit} are in [each|every|one] {box}?",
                f"How many {unit} does [each|every] {box} [have|hold]?",
                f"How many {unit} go into each {box}?",
            ),
        )
        put, then = h.verb("put", "puts"), self._then()
        self.story.tell(
            index,
            f"{then}{h.name} {put} [them|the {unit}|all the {unit}] equally into {m} {boxes}.",
            f"{then}{h.name} {put} [them|the {unit}|all the {unit}] into {m} {boxes}, the same number in each.",
            f"{then}{h.name} {h.verb('divide', 'divides')} [them|the {unit}] equally into {m} {boxes}.",
            event=True,
        )

    def _pack(self) -> None:
        h = self.rng.choice(self.holders)
        if not (self.measure.countable and h.person):
            raise RejectedError
        m, unit = self._divisor(self.story.value(self.latest[h.name])), self.measure.unit
        boxes, box = self._containers()
        verb = h.verb("need", "needs")
        index = self.story.derive(
            "/",
            [Ref(self.latest[h.name]), m],
            (f"{h.name} {verb} {{eq}} {boxes}.", f"That makes {{eq}} {boxes}."),
            (
                f"How many {boxes} {self._do(h)} {h.name} [need|fill|have|get]?",
                f"How many {boxes} are [there|needed|filled]?",
            ),
        )
        pack, then = h.verb("pack", "packs"), self._then()
        put = h.verb("put", "puts")
        self.story.tell(
            index,
            f"{then}{h.name} {pack} [all the|the|{h.possessive}] {unit} [in|into] {boxes} of {m}[| {unit}][| each].",
            f"{then}{h.name} {put} [all the|the] {unit} into {boxes} with {m} [{unit} |]in each[| {box}].",
            f"{then}{h.name} {put} them in {boxes}. Each {box} [holds|gets|has] {m} {unit}.",
            event=True,
        )
        if self.rng.random() < 0.45:
            self._sell_boxes(h, index, boxes, box)

    def _sell_boxes(self, h: Holder, count: int, boxes: str, box: str) -> None:
        price, does = self.rng.randint(2, 9), self._do(h)
        money = self.story.derive(
            "*",
            [Ref(count), price],
            (
                f"{h.name} {h.verb('get', 'gets')} {{eq}} dollars.",
                f"The {boxes} bring {{eq}} dollars.",
            ),
            (f"How [much money|many dollars|much] {does} {h.name} [get|make|earn]?",),
        )
        self.story.tell(
            money,
            f"{h.name} {h.verb('sell', 'sells')} [each|every] {box} for [{price} dollars|${price}].",
            f"{h.name} {h.verb('sell', 'sells')} the {boxes} for [{price} dollars|${price}] each.",
            f"[Each|Every] {box} is sold for [{price} dollars|${price}].",
            event=True,
        )

    def _sell(self) -> None:
        h = self.rng.choice(self.holders)
        if not (self.measure.countable and h.person):
            raise RejectedError
        rng, unit = self.rng, self.measure.unit
        price = rng.randint(2, 9)
        sell, does = h.verb("sell", "sells"), self._do(h)
        one = self.noun
        money = self.story.derive(
            "*",
            [Ref(self.latest[h.name]), price],
            (
                f"{h.name} {h.verb('get', 'gets')} {{eq}} dollars.",
                f"The {unit} bring {{eq}} dollars.",
            ),
            (
                f"How [much money|many dollars] {does} {h.name} [get|make|earn|receive]?",
                f"How many dollars do the {unit} bring?",
            ),
        )
        then = self._then()
        cost = f"[{price} dollars|${price}]"
        self.story.tell(
            money,
            f"{then}{h.name} {sell} [all|all of] the {unit} for {cost} each.",
            f"{then}{h.name} {sell} [each|every] {one} for {cost}.",
            f"{then}{h.name} {sell} {h.possessive} {unit} at {cost} each.",
            event=True,
        )
        if rng.random() < 0.5:
            spent = rng.randint(2, max(3, self.story.value(money) - 1))
            left = self.story.derive(
                "-",
                [Ref(money), spent],
                (
                    f"{h.name} {h.verb('have', 'has')} {{eq}} dollars left.",
                    "{eq} dollars are left.",
                ),
                (
                    f"How [much money|many dollars] {does} {h.name} have left?",
                    "How many dollars are left?",
                ),
            )
            spend = h.verb("spend", "spends")
            self.story.tell(
                left,
                f"Then {h.name} {spend} {spent} dollars[| of this money| on lunch].",
                f"{h.name} {spend} ${spent} [of it|of the money|on a gift].",
                event=True,
            )
