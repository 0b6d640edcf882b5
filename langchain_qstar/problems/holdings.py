"""The family of stories about who has how many of what.

Holders (people, places, a group) start with a given number, a number of
containers, or a relation to another holder; then events change what they have;
then totals, differences, shares, packs and sales are asked for. The same
relations carry other measures too (kilometers walked, pages read), without the
events. The classes `Holders` (wording), `Starts`, `Relations`, `Events` and
`Conclusions` build on one another, a module each.
"""

from __future__ import annotations

import random

from langchain_qstar.problems.conclusions import Conclusions
from langchain_qstar.problems.story import RejectedError, Story


def build_holdings(story: Story, size: int) -> None:
    """Grow a holdings story to about `size` operations (possibly more)."""
    h = Conclusions(story, size)
    story.kind = "holdings"
    rng: random.Random = story.rng
    rng.choices((h.start_given, h.start_containers, h.start_kinds), (50, 38, 12))[0]()

    def derived() -> int:
        return sum(q.op is not None for q in story.quantities)

    attempts = 0
    want_events = h.measure.countable and rng.random() < 0.6
    relations = size if not want_events else rng.randint(0, max(0, size - 1))
    while derived() < relations and attempts < 12:
        attempts += 1
        draw = rng.random()
        try:
            if draw < 0.7:
                h.relate()
            elif draw < 0.82:
                h.start_containers()
            elif draw < 0.88:
                h.start_kinds()
            else:
                h.start_given()
        except RejectedError:
            continue
    attempts = 0
    while derived() < size and attempts < 20:
        attempts += 1
        snapshot = len(story.quantities), len(story.facts), dict(h.latest), list(h.holders)
        try:
            if want_events and rng.random() < 0.68:
                h.event()
            else:
                h.conclude()
        except RejectedError:
            del story.quantities[snapshot[0] :]
            del story.facts[snapshot[1] :]
            h.latest, h.holders = snapshot[2], snapshot[3]
