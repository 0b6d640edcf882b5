"""Which actions may follow a node, and which places their children have.

Every kind of node has fixed slots for its children, in the order of creation A1,
A2, A3, A4 or A5. Child n of a node stands in slot n; a completion that is no step
leaves its slot empty. So each action knows the ids of its children without the others.
The slot after these is for the root's completion when a search finds nothing, and the
next ones are for what a person writes.

Source: rStar, section 3.1, and its official code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_qstar.protocols import Action
from langchain_qstar.settings.rstar import EVERY_ACTION, RStarSettings
from langchain_qstar.tree import NodeRecord, Nodes, child_id


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots `first` to `first + count - 1`, for children by `action`."""

    action: Action
    first: int
    count: int

    def ids(self, parent: str) -> list[str]:
        """The ids of the children in these slots."""
        return [child_id(parent, self.first + number) for number in range(self.count)]


@dataclass(frozen=True, slots=True)
class Rules:
    """What may follow what.

    Attributes:
        known: The actions that the task has forms for.
        settings: Which actions are wanted, how many children each makes, and whether
            a sub-question may follow a one-step thought.
    """

    known: Sequence[Action]
    settings: RStarSettings

    def follows(self, action: Action, after: str) -> bool:
        """Whether `action` may follow a node made by `after` (`root` for the root).

        A re-answer follows only a sub-question, a rephrasing only the root, and a
        sub-question no one-step thought, unless the settings let it. Passages follow no
        passages.
        """
        if action not in self.known or action not in self.settings.actions or after == "finish":
            return False
        match action:
            case "subquestion":
                return after != "propose_step" or self.settings.subquestion_after_step
            case "re_answer":
                return after == "subquestion"
            case "rephrase":
                return after == "root"
            case "retrieve":
                return after != "retrieve"
        return True

    def slots(self, record: NodeRecord) -> list[Slots]:
        """The slots of a node that can be continued; none of one that cannot."""
        if record["terminal"] or record["truncated"]:
            return []
        return self.slots_after(record["action"])

    def slots_after(self, action: str) -> list[Slots]:
        """The slots of a node made by `action`."""
        found: list[Slots] = []
        first = 0
        for each in EVERY_ACTION:
            if self.follows(each, action):
                found.append(Slots(each, first, self.count(each)))
                first += found[-1].count
        return found

    def count(self, action: Action) -> int:
        """How many children an action makes."""
        counts = {
            "propose_step": self.settings.num_steps,
            "subquestion": self.settings.num_subquestions,
        }
        return counts.get(action, 1)

    def children(self, nodes: Nodes, node_id: str) -> list[str]:
        """The children that a node has got, in the order of their slots.

        Where nothing was retrieved there is none to go on to.
        """
        slots = self.slots(nodes[node_id])
        if not slots:
            return []
        every = (each for some in slots for each in some.ids(node_id))
        drawn = [each for each in every if each in nodes and "failure" not in nodes[each]]
        return [*drawn, *self.written(nodes, node_id)]

    def written(self, nodes: Nodes, node_id: str) -> list[str]:
        """The children of a node that a person wrote, in order."""
        number = self.spare(nodes[node_id]["action"]) + 1
        found: list[str] = []
        while (each := child_id(node_id, number + len(found))) in nodes:
            found.append(each)
        return found

    def next_written(self, nodes: Nodes, node_id: str) -> str:
        """The id of the next child that a person writes."""
        first = self.spare(nodes[node_id]["action"]) + 1
        return child_id(node_id, first + len(self.written(nodes, node_id)))

    def spare(self, action: str) -> int:
        """The slot after those of the actions that may follow `action`."""
        return sum(slots.count for slots in self.slots_after(action))

    def siblings(self, nodes: Nodes, node_id: str, action: Action) -> list[str]:
        """The children of a node's parent that the policy made by `action`.

        The node is among them if it is one.
        """
        beside = self.children(nodes, node_id.rpartition(".")[0])
        return [
            each
            for each in beside
            if nodes[each]["action"] == action and "replaces" not in nodes[each]
        ]
