"""The words problems are made of: people, things, containers, measures.

`*_NOVEL` words appear only in the `novel` split.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

HE = (
    "Tom Ben Sam Max Leo Jack Adam Paul Mark Luke Omar Ivan Hugo Finn Eric Noah Liam Dan Josh Ryan "
    "Carl Alex Peter David John James Mike Bob Bill Jim Tim Joe Nick George Henry Frank Ali Raj Kevin "
    "Brian Steve Andy Oscar Felix Simon Robert Daniel Jake Kyle Matt Tony Greg Ken Victor Albert Jose"
).split()
SHE = (
    "Ann Mia Eva Zoe Amy Lily Sara Emma Nina Ruth Kate Lucy Rosa Maya Ella Iris Jane Julia Sophie Olga "
    "Mary Lisa Anna Susan Linda Karen Nancy Betty Helen Grace Alice Clara Laura Maria Carol Diana Emily "
    "Hannah Jenny Kim Leah Megan Nora Olivia Paula Rachel Sally Tina Wendy Lena Jill Claire Ava Bella"
).split()
HE_NOVEL = "Boris Quentin Dmitri Walter Cedric".split()
SHE_NOVEL = "Yvonne Beatrix Ingrid Xenia Tamara".split()

ROLES = (
    "the farmer|the baker|the teacher|the gardener|the cook|the painter|the driver|the student|"
    "the boy|the girl|the man|the woman|the coach|the seller"
).split("|")
RELATIVES = "brother sister friend mother father cousin neighbor teacher grandmother".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

FOOD = (
    "apple orange cookie egg banana pear plum lemon muffin cupcake peach sandwich grape cherry "
    "mango potato tomato carrot onion donut candy pancake nut chocolate biscuit strawberry pizza"
).split()
THINGS = (
    "marble pencil book coin sticker card stamp shell flower balloon pen toy button stone bead "
    "key cup plate bottle crayon ball doll candle rose brick tile notebook ticket shirt hat "
    "chair lamp star leaf bean seed block magazine photo bracelet ribbon badge magnet eraser "
    "ruler postcard kite puzzle game sock glove bell rock comic poster cap bag necklace envelope"
).split()
ANIMALS = "cow sheep hen duck goat fish rabbit bird horse cat dog frog chicken pig bee".split()
NOVEL_WORDING = ("ahead", "behind", "match", "charity", "trade", "traded")
NOVEL_THINGS = "lantern compass acorn feather domino scarf whistle teapot".split()

CONTAINERS = "bag box basket pack jar crate tray bucket packet bowl case carton drawer bin".split()
NOVEL_CONTAINERS = "sack chest tin".split()
NOVEL_WORDS = frozenset(
    word.lower()
    for noun in (*HE_NOVEL, *SHE_NOVEL, *NOVEL_THINGS, *NOVEL_CONTAINERS, *NOVEL_WORDING)
    for word in (noun, f"{noun}s", f"{noun}es")
)
"""Words that tell a problem of the `novel` split."""

PLACES = (
    "the red box|the blue box|the green box|the first shelf|the second shelf|the third shelf|"
    "the small basket|the large basket|the old shop|the new shop|the north farm|the south farm|"
    "the school|the library|the museum|the garden|the park|the big jar|the small jar|the first room|"
    "the second room|the left drawer|the right drawer|the morning class|the evening class"
).split("|")
COLORS = "red blue green yellow white black brown pink purple orange".split()

_IRREGULAR = {
    "sheep": "sheep",
    "fish": "fish",
    "leaf": "leaves",
    "candy": "candies",
    "cherry": "cherries",
    "strawberry": "strawberries",
    "puppy": "puppies",
    "shelf": "shelves",
    "person": "people",
    "child": "children",
}


def plural(noun: str) -> str:
    """The plural of an English noun from this lexicon."""
    *adjectives, last = noun.split(" ")
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif last.endswith(("s", "x", "ch", "sh", "tomato", "potato", "mango")):
        last += "es"
    else:
        last += "s"
    return " ".join([*adjectives, last])


def with_article(noun: str) -> str:
    """The noun with `a` or `an` before it."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def invented_word(rng: random.Random) -> str:
    """A word no lexicon has, so that copying unknown names is learnt, not memorised."""
    onset = "b br c ch d f g gr h j k l m n p pl qu r s st t tr v w z".split()
    vowel = "a e i o u ai ee oo ia".split()
    return "".join(rng.choice(onset) + rng.choice(vowel) for _ in range(rng.choice((2, 2, 3)))) + (
        rng.choice(("", "n", "r", "l", "k", "m"))
    )


_PAST = {
    "have": "had",
    "give": "gave",
    "lose": "lost",
    "sell": "sold",
    "buy": "bought",
    "find": "found",
    "get": "got",
    "eat": "ate",
    "put": "put",
    "share": "shared",
    "divide": "divided",
    "run": "ran",
    "read": "read",
    "save": "saved",
    "score": "scored",
    "swim": "swam",
    "draw": "drew",
    "write": "wrote",
    "spend": "spent",
    "trade": "traded",
    "donate": "donated",
    "hand": "handed",
}


@dataclass(frozen=True)
class Holder:
    """Somebody or something that has a number of things."""

    name: str
    pronoun: str
    possessive: str
    plural: bool = False
    person: bool = True
    past: bool = False
    """Whether facts about this holder are told in the past tense."""

    def verb(self, base: str, third: str) -> str:
        """The form of a verb that agrees with this holder in number and tense."""
        if self.past:
            return _PAST.get(base, f"{base}ed")
        return base if self.plural else third


def people(
    rng: random.Random, count: int, *, novel: bool = False, past: bool = False
) -> list[Holder]:
    """`count` different persons; one in twelve has an invented name."""
    chosen: dict[str, Holder] = {}
    while len(chosen) < count:
        male = rng.random() < 0.5
        if rng.random() < 0.07:
            role = rng.choice(ROLES)
            chosen[role] = Holder(
                role, "he" if male else "she", "his" if male else "her", past=past
            )
            continue
        if novel and rng.random() < 0.3:
            name = rng.choice(HE_NOVEL if male else SHE_NOVEL)
        elif rng.random() < 0.08:
            name = invented_word(rng).capitalize()
        else:
            name = rng.choice(HE if male else SHE)
        chosen[name] = Holder(name, "he" if male else "she", "his" if male else "her", past=past)
    return list(chosen.values())


def places(rng: random.Random, count: int) -> list[Holder]:
    """`count` different places or containers that hold things."""
    return [Holder(p, "it", "its", person=False) for p in rng.sample(PLACES, count)]


def thing(rng: random.Random, *, novel: bool = False) -> str:
    """A countable noun, singular, sometimes with a colour."""
    if novel and rng.random() < 0.4:
        return rng.choice(NOVEL_THINGS)
    roll = rng.random()
    if roll < 0.05:
        return invented_word(rng)
    noun = rng.choice(FOOD if roll < 0.4 else ANIMALS if roll < 0.48 else THINGS)
    return f"{rng.choice(COLORS)} {noun}" if rng.random() < 0.08 and noun != "orange" else noun
