"""The family of stories about rows, shelves and nested containers in places."""

from __future__ import annotations

from langchain_qstar.problems.lexicon import CONTAINERS, plural, thing
from langchain_qstar.problems.story import Ref, RejectedError, Story

_GRIDS = (
    ("hall", "row", "chair"),
    ("theater", "row", "seat"),
    ("garden", "row", "flower"),
    ("field", "row", "tree"),
    ("library", "shelf", "book"),
    ("shop", "shelf", "bottle"),
    ("school", "class", "student"),
    ("house", "room", "lamp"),
    ("hotel", "floor", "room"),
    ("parking lot", "row", "car"),
    ("train", "wagon", "seat"),
    ("factory", "table", "machine"),
    ("box", "layer", "cookie"),
    ("album", "page", "photo"),
    ("farm", "pen", "goat"),
    ("bakery", "tray", "muffin"),
)
_TIMES = {2: "twice", 3: "three times", 4: "four times"}


class Layout:
    """Places with rows of things; things come, go, and are compared between places."""

    def __init__(self, story: Story, size: int) -> None:
        self.story, self.rng = story, story.rng
        self.place, self.row, self.item = self.rng.choice(_GRIDS)
        if self.rng.random() < 0.2:
            self.item = thing(self.rng, novel=story.novel)
        self.items = plural(self.item)
        self.now: dict[str, int] = {}
        self.wanted = max(1, min(4, size // 3 + self.rng.choice((0, 1))))
        ordinals = ("first", "second", "third", "fourth")
        self.names = (
            [f"the {self.place}"]
            if self.wanted == 1
            else [f"the {o} {self.place}" for o in ordinals[: self.wanted]]
        )

    def lines(self, name: str) -> tuple[str, ...]:
        """Solution lines that state what the place holds."""
        return (f"{name} has {{eq}} {self.items}.", f"In {name} there are {{eq}} {self.items}.")

    def asks(self, name: str, tail: str = "") -> tuple[str, ...]:
        """Questions for what the place holds."""
        return (
            f"How many {self.items} are [in {name}|there in {name}]{tail}?",
            f"How many {self.items} does {name} have{tail}?",
        )

    def grid(self, name: str) -> None:
        """Rows x items, sometimes with boxes inside rows (two multiplications)."""
        rng, story = self.rng, self.story
        rows, each, items, row = (
            rng.randint(2, 9),
            rng.choice((rng.randint(2, 12), rng.randint(2, 20))),
            self.items,
            self.row,
        )
        many = plural(row) if row != "shelf" else "shelves"
        if rng.random() < 0.3:
            boxes = plural(rng.choice(CONTAINERS))
            box = boxes[:-2] if boxes.endswith("xes") else boxes[:-1]
            per = rng.randint(2, 5)
            total_boxes = story.derive(
                "*",
                [rows, per],
                (f"{name} has {{eq}} {boxes}.", f"In {name} there are {{eq}} {boxes}."),
                (f"How many {boxes} are in {name}?",),
            )
            index = story.derive("*", [Ref(total_boxes), each], self.lines(name), self.asks(name))
            story.tell(
                (total_boxes, index),
                f"{name} has {rows} {many}. Each {row} has {per} {boxes}. Each {box} [holds|has] {each} {items}.",
                f"In {name} there are {rows} {many} with {per} {boxes} each. Every {box} [holds|has|contains] {each} {items}.",
            )
        else:
            index = story.derive("*", [rows, each], self.lines(name), self.asks(name))
            story.tell(
                index,
                f"{name} has {rows} {many} of {each} {items}[| each].",
                f"{name} has {rows} {many}. [Each|Every] {row} has {each} {items}.",
                f"There are {rows} {many} in {name}. [Each|Every] {row} has {each} {items}.",
                f"There are {rows} {many} of {items} in {name} with {each} {items} in each {row}.",
            )
        self.now[name] = index

    def compare(self, name: str) -> None:
        """A further place, by relation to an earlier one."""
        rng, story = self.rng, self.story
        other = rng.choice(list(self.now))
        i, items = self.now[other], self.items
        if rng.random() < 0.65:
            k, more = rng.randint(2, 30), rng.random() < 0.5
            index = story.derive(
                "+" if more else "-", [Ref(i), k], self.lines(name), self.asks(name)
            )
            word = "more" if more else "fewer"
            story.tell(
                index,
                f"{name} has {k} {word} {items} than {other}.",
                f"There are {k} {word} {items} in {name} than in {other}.",
            )
        else:
            k = rng.choice((2, 2, 3, 4))
            index = story.derive("*", [Ref(i), k], self.lines(name), self.asks(name))
            story.tell(
                index,
                f"{name} has {_TIMES[k]} as many {items} as {other}.",
                f"There are {_TIMES[k]} as many {items} in {name} as in {other}.",
            )
        self.now[name] = index

    def change(self) -> None:
        """Things are added to or taken from a place, or a part of the total is in use."""
        rng, story, items = self.rng, self.story, self.items
        name = rng.choice(list(self.now))
        i = self.now[name]
        k, more = rng.randint(1, 30), rng.random() < 0.4
        left = (f"In {name} {{eq}} {items} are left.", f"That leaves {name} with {{eq}} {items}.")
        index = story.derive(
            "+" if more else "-",
            [Ref(i), k],
            self.lines(name) if more else (*left, f"Now {name} has {{eq}} {items}."),
            self.asks(name, " now")
            if more
            else (f"How many {items} are left in {name}?", *self.asks(name, " now"))
            + ((f"How many {items} are left?",) if len(self.names) == 1 else ()),
        )
        where = f"in {name}"
        if more:
            forms: tuple[str, ...] = (
                f"Then {k} more {items} are [added to|brought to|put in] {name}.",
                f"{k} more {items} come to {name}.",
            )
        else:
            forms = (
                f"Then {k} of the {items} {where} are [sold|taken away|removed|broken].",
                f"{k} {items} {where} are [gone|sold|removed|taken].",
                f"{k} of the {items} {where} leave."
                if self.item in ("student", "car", "goat")
                else f"People take {k} {items} from {name}.",
            )
        story.tell(index, *forms, event=True)
        self.now[name] = index

    def conclude(self) -> None:
        """Total, difference or a share of what is there."""
        rng, story, items = self.rng, self.story, self.items
        names = list(self.now)
        if len(names) > 1 and rng.random() < 0.7:
            chosen = names if len(names) <= 3 else names[:3]
            if len(chosen) > 2 and rng.random() < 0.4:
                chosen = rng.sample(names, 2)
            what = (
                " and ".join(chosen)
                if len(chosen) == 2
                else ", ".join(chosen[:-1]) + " and " + chosen[-1]
            )
            story.derive(
                "+",
                [Ref(self.now[n]) for n in chosen],
                (f"Together there are {{eq}} {items}.", f"In total there are {{eq}} {items}."),
                (
                    f"How many {items} are in {what} [together|in total|altogether]?",
                    f"How many {items} do {what} have [together|in total|altogether|in all]?",
                ),
            )
            return
        if len(names) > 1 and rng.random() < 0.5:
            a, b = rng.sample(names, 2)
            if story.value(self.now[a]) < story.value(self.now[b]):
                a, b = b, a
            story.derive(
                "-",
                [Ref(self.now[a]), Ref(self.now[b])],
                (f"{a} has {{eq}} more {items} than {b}.", f"The difference is {{eq}} {items}."),
                (
                    f"How many more {items} does {a} have than {b}?",
                    f"How many more {items} are in {a} than in {b}?",
                ),
            )
            return
        name = rng.choice(names)
        value = story.value(self.now[name])
        fits = [k for k in range(2, 10) if value % k == 0 and value // k > 1]
        if not fits:
            raise RejectedError
        m = rng.choice(fits)
        index = story.derive(
            "/",
            [Ref(self.now[name]), m],
            (f"Each group has {{eq}} {items}.", f"That is {{eq}} {items} for each group."),
            (f"How many {items} are in each group?", f"How many {items} does each group have?"),
        )
        story.tell(
            index,
            f"The {items} in {name} are split into {m} equal groups.",
            f"All {items} in {name} are divided [equally |]into {m} groups.",
            event=True,
        )


def build_layout(story: Story, size: int) -> None:
    """Grow a layout story to about `size` operations."""
    layout = Layout(story, size)
    story.kind = "layout"
    rng = story.rng
    for name in layout.names:
        try:
            if layout.now and rng.random() < 0.5:
                layout.compare(name)
            else:
                layout.grid(name)
        except RejectedError:
            layout.grid(name)
    for _ in range(12):
        if sum(q.op is not None for q in story.quantities) >= size:
            break
        mark = len(story.quantities), len(story.facts), dict(layout.now)
        try:
            (layout.change if rng.random() < 0.5 else layout.conclude)()
        except RejectedError:
            del story.quantities[mark[0] :]
            del story.facts[mark[1] :]
            layout.now = mark[2]
