"""Three ways to find out how often a step leads to a right answer.

- `rollouts`: the trajectories that come by the step (Q*, section 3.2);
- `completions`: N completions from the step, by the policy (Math-Shepherd, MiPS) or by
  a stronger one (Q*, construction 3);
- `omega`: completions from those steps that a binary search for the first error asks
  about, in the wrong rollouts that promise most (OmegaPRM, algorithm 1).

Each question is a generator: it yields what it wants drawn and is sent the
completions, so that many questions share the batches of a model.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from langchain_qstar.baselines.sampled import Sampled, sampled
from langchain_qstar.errors import SettingsError
from langchain_qstar.models.steps import split_steps
from langchain_qstar.protocols import Completion, Policy, SampleRequest, State, Step, Task
from langchain_qstar.seeds import question_seed, sample_seed
from langchain_qstar.stepping.solutions import solution_end
from langchain_qstar.training.label_file import LabelledQuestion
from langchain_qstar.training.labels import first_error, select_rollout, soft_estimate
from langchain_qstar.training.step_tree import QUESTION, StepTree
from langchain_qstar.tree import ROOT

Way = Literal["rollouts", "completions", "omega"]
Trajectories = Literal["sampling", "mcts", "qstar"]


@dataclass(frozen=True)
class LabelSettings:
    """How labels are made.

    Attributes:
        by: The way, see the module.
        trajectories: Where the steps come from: sampled solutions, rollouts of Monte Carlo
            tree search over single steps (`mcts`), or Q* searches.
        samples: Solutions sampled for a question (for `omega` from every state asked
            about), rollouts, or trajectories that a search collects.
        completions: For `completions`: from each step.
        searches: For `omega`: wrong rollouts searched for their first error.
        temperature: Of all sampling; above 0, or all samples are the same.
        seed: From the same seed come the same labels, however often interrupted.

    Raises:
        SettingsError: A value is out of range.
    """

    by: Way = "rollouts"
    trajectories: Trajectories = "sampling"
    samples: int = 8
    completions: int = 4
    searches: int = 8
    temperature: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.by not in get_args(Way):
            raise SettingsError(f"by={self.by!r}; choose one of: {', '.join(get_args(Way))}")
        if self.trajectories not in get_args(Trajectories):
            known = ", ".join(get_args(Trajectories))
            raise SettingsError(f"trajectories={self.trajectories!r}; choose one of: {known}")
        for name in ("samples", "completions", "searches"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; draw at least 1")
        if not self.temperature > 0:
            raise SettingsError(f"temperature is {self.temperature}; it must be above 0")
        if self.by == "omega" and self.trajectories != "sampling":
            raise SettingsError("omega makes its own trajectories; leave out --trajectories")


@dataclass(frozen=True, slots=True)
class Asked:
    """Work for a model: draw these, and send the completions back."""

    policy: Policy
    requests: list[SampleRequest]


Labelling: TypeAlias = Generator[Asked, list[list[Completion]], LabelledQuestion]
"""One question under way."""

IsRight = Callable[[str], bool]
"""Whether the text of a whole solution ends in the right answer. Only this knows it.

It is asked of texts that ended: what a text that was cut says last is no answer."""


@dataclass(frozen=True)
class Labeller:
    """Labels the steps of one question.

    Attributes:
        policy: Whose steps they are.
        completer: Who completes them; the policy itself, or a stronger one.
        task: How the question is prompted, ended and answered.
        settings: How labels are made.
        is_right: Grades solutions.
    """

    policy: Policy
    completer: Policy
    task: Task
    settings: LabelSettings
    is_right: IsRight

    def label(self, question: str, tree: StepTree | None = None) -> Labelling:
        """The generator of one question; `tree` holds trajectories that are there already."""
        if tree is None:
            tree = StepTree(State(question, self.task.messages(question)))
            yield from self._sample(tree)
        if self.settings.by == "completions":
            yield from self._complete(tree)
        elif self.settings.by == "omega":
            yield from self._omega(tree)
        return tree.labelled()

    def _ask(
        self, tree: StepTree, asked: Asked
    ) -> Generator[Asked, list[list[Completion]], list[list[Completion]]]:
        groups = yield asked
        for completion in (each for group in groups for each in group):
            tree.tokens += completion.generated
            tree.completions += 1
        return groups

    def _request(self, state: State, place: str, count: int) -> SampleRequest:
        seed = question_seed(self.settings.seed, state.question)
        return SampleRequest(
            state,
            tuple(sample_seed(seed, place, number) for number in range(count)),
            stop=(),
            max_tokens=self.task.solution_tokens,
            temperature=self.settings.temperature,
            ends=solution_end(self.task, state.text),
        )

    def _sample(self, tree: StepTree) -> Generator[Asked, list[list[Completion]], None]:
        request = self._request(tree.root, ROOT, self.settings.samples)
        (drawn,) = yield from self._ask(tree, Asked(self.policy, [request]))
        solutions = [sampled(each, self.task, self.policy) for each in drawn]
        solutions = yield from self._conclude(tree, solutions, request.seeds)
        for found, completion in zip(solutions, drawn, strict=True):
            ends = found.answer is not None or self._ends(found.text, completion)
            numbers = tree.extend(QUESTION, found.steps, ends=ends)
            tree.count(numbers, right=ends and self.is_right(found.text))

    def _conclude(
        self, tree: StepTree, solutions: Sequence[Sampled], seeds: Sequence[int]
    ) -> Generator[Asked, list[list[Completion]], list[Sampled]]:
        """Ask solutions that ended without an answer for it, as every method does."""
        asking = [
            each.asking(tree.root, self.task, self.policy, seed)
            for each, seed in zip(solutions, seeds, strict=True)
        ]
        requests = [each for each in asking if each is not None]
        if not requests:
            return list(solutions)
        lines = iter((yield from self._ask(tree, Asked(self.policy, requests))))
        return [
            each.concluded(next(lines)[0], self.task) if request else each
            for each, request in zip(solutions, asking, strict=True)
        ]

    def _complete(self, tree: StepTree) -> Generator[Asked, list[list[Completion]], None]:
        """Counts of completions in place of those of trajectories, but for last steps."""
        numbers = tree.forget()
        foreign = self.completer is not self.policy
        requests = [
            self._request(
                tree.state(number, texts_only=foreign), f"after {number}", self.settings.completions
            )
            for number in numbers
        ]
        groups = yield from self._ask(tree, Asked(self.completer, requests))
        for number, request, group in zip(numbers, requests, groups, strict=True):
            for completion in group:
                text = self._whole(request.state, completion)
                right = self._ends(text, completion) and self.is_right(text)
                tree.count([number], right=right)

    def _whole(self, state: State, completion: Completion) -> str:
        """The text of a solution whose end is `completion`, up to the step that ends it."""
        text = state.text
        for step in split_steps(completion, self.task):
            text += step.text
            if self.task.is_terminal(text):
                break
        return text

    def _ends(self, text: str, completion: Completion) -> bool:
        """Whether a text is a whole solution: it says so, or stopped by itself with an answer."""
        if self.task.is_terminal(text):
            return True
        return completion.finish == "eos" and self.task.read(text)[0] is not None

    def _omega(self, tree: StepTree) -> Generator[Asked, list[list[Completion]], None]:
        right = sum(tree.counts[each][0] for each in _firsts(tree))
        search = _Omega(tree)
        search.offer(QUESTION, right / self.settings.samples, _wrong_leaves(tree))
        tree.forget()  # only states that are asked about get a label
        for turn in range(self.settings.searches):
            chosen = search.choose()
            if chosen is None:
                return
            yield from self._find_error(search, chosen, turn)

    def _find_error(
        self, search: _Omega, chosen: _Candidate, turn: int
    ) -> Generator[Asked, list[list[Completion]], None]:
        """Estimate the states that a binary search of one wrong rollout asks about."""
        path = chosen.rollout
        bisection = first_error(len(path))
        kept = next(bisection, None)
        while kept is not None:
            number = path[kept - 1]
            if number not in search.estimates:
                yield from self._estimate(search, number, turn)
            try:
                kept = bisection.send(search.estimates[number] > 0)
            except StopIteration:
                kept = None

    def _estimate(
        self, search: _Omega, number: int, turn: int
    ) -> Generator[Asked, list[list[Completion]], None]:
        tree = search.tree
        request = self._request(tree.state(number), f"{number}/{turn}", self.settings.samples)
        (drawn,) = yield from self._ask(tree, Asked(self.policy, [request]))
        wrong: list[list[int]] = []
        for completion in drawn:
            steps = split_steps(completion, self.task, self.policy)
            text = request.state.text + "".join(step.text for step in steps)
            ends = self._ends(text, completion)
            is_right = ends and self.is_right(text)
            tree.count([number], right=is_right)
            numbers = tree.extend(number, steps, ends=ends)
            if ends and numbers:
                tree.count(numbers[-1:], right=is_right)
            if numbers and not is_right:
                wrong.append(numbers)
        search.offer(number, soft_estimate(*tree.counts[number]), wrong)


@dataclass(slots=True)
class _Candidate:
    """A wrong rollout (numbers of its steps) from a state."""

    state: int
    rollout: list[int]


class _Omega:
    """The pool of states and wrong rollouts of one question."""

    def __init__(self, tree: StepTree) -> None:
        self.tree = tree
        self.estimates: dict[int, float] = {}
        self._candidates: list[_Candidate] = []
        self._visits: dict[int, int] = {}

    def offer(self, state: int, estimate: float, wrong: Sequence[list[int]]) -> None:
        """A state with its estimate, and the wrong rollouts from it."""
        self.estimates[state] = estimate
        if 0 < estimate < 1:
            self._candidates += [_Candidate(state, rollout) for rollout in wrong]

    def choose(self) -> _Candidate | None:
        """Take the candidate that promises most, if there is one left."""
        if not self._candidates:
            return None
        rated = [
            (self.estimates[each.state], self._length(each), self._visits.get(each.state, 0))
            for each in self._candidates
        ]
        chosen = self._candidates.pop(select_rollout(rated))
        self._visits[chosen.state] = self._visits.get(chosen.state, 0) + 1
        return chosen

    def _length(self, candidate: _Candidate) -> int:
        return sum(_tokens(self.tree.steps[each]) for each in candidate.rollout)


_CHARACTERS_PER_TOKEN: Final = 4


def _tokens(step: Step) -> int:
    if step.token_ids is not None:
        return len(step.token_ids)
    return -(-len(step.text) // _CHARACTERS_PER_TOKEN)


def _firsts(tree: StepTree) -> list[int]:
    return [number for number, parent in enumerate(tree.parents) if parent == QUESTION]


def _wrong_leaves(tree: StepTree) -> list[list[int]]:
    """The paths of the sampled trajectories that were wrong, once each."""
    inner = set(tree.parents)
    leaves = [number for number in range(len(tree.steps)) if number not in inner]
    return [tree.path(number) for number in leaves if not tree.counts[number][0]]
