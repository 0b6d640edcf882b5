"""Making a task fit a model: which prompts it is asked with, and how many examples it is shown.

A model that answers chats is asked by an instruction, or by examples as earlier turns; a
model without chat training by a text to go on with. rStar's actions are shown by examples
always. A task with messages of its own is left alone, unless a folder of prompts is given.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final, cast, get_args

from langchain_qstar.errors import SettingsError
from langchain_qstar.prompting import has_prompt
from langchain_qstar.protocols import Policy, Task, answers_chats
from langchain_qstar.tasks.asking import Asking, PromptFiles, Style
from langchain_qstar.tasks.prompted_forms import PromptedForms

AUTO: Final = "auto"
STYLES: Final[tuple[Style, ...]] = get_args(Style)


def fit_task(
    task: Task, policy: Policy, *, prompts: str | Path = AUTO, shots: int | None = None
) -> Task:
    """The task, asking as `policy` is best asked, or as it is told.

    Args:
        task: Any task.
        policy: Who is asked.
        prompts: `"auto"` goes by the model: `zero-shot`, or `few-shot` with `shots`, if it
            answers chats, else `completion`. Otherwise one of these three, or a folder of
            your own with `instruction.txt`, where `{{question}}` stands for the question,
            and, if there are any, `examples.txt` (see `docs/prompts.md`). Examples of your
            own are shown to any model.
        shots: How many examples are shown, the first of the file; None is none zero-shot,
            and else all.

    Raises:
        SettingsError: The prompts are unknown, the two contradict each other, there are
            fewer examples, or the task has messages of its own.
        PromptError: A file is missing, or cannot be used.
    """
    _check_shots(shots)
    folder = _folder(prompts)
    if folder is not None:
        return replace(task, messages=_asking(_in(folder), policy, AUTO, shots, task.name))
    asking = task.messages
    if not isinstance(asking, Asking):
        if prompts != AUTO or shots:
            raise SettingsError(
                f"the task {task.name} has messages of its own, so prompts and shots mean nothing "
                "to it; leave them out, or give a folder of prompts"
            )
        return task
    if asking.fitted and prompts == AUTO and shots is None:
        return task
    return replace(task, messages=_asking(asking.files, policy, str(prompts), shots, task.name))


def fit_rstar_task(
    task: Task, policy: Policy, *, prompts: str | Path = AUTO, shots: int | None = None
) -> Task:
    """As `fit_task`, for rStar: the forms of its actions fit too.

    Their examples are earlier turns of the conversation if the model answers chats, or with
    `few-shot`, and otherwise one text. A task without such forms acts by its messages.

    Args:
        task: Any task.
        policy: Who is asked.
        prompts: As for `fit_task`, but not `zero-shot`; a folder of your own holds
            `steps.txt`, `solution.txt`, `subquestions.txt` and `rephrasing.txt`.
        shots: How many examples of each file are shown; None is all of them.

    Raises:
        SettingsError: As for `fit_task`, or no example is to be shown.
        PromptError: A file is missing, or cannot be used.
    """
    if not isinstance(task.forms, PromptedForms):
        return fit_task(task, policy, prompts=prompts, shots=shots)
    _check_shots(shots)
    folder = _folder(prompts)
    if prompts == "zero-shot" or shots == 0:
        raise SettingsError(
            "rStar shows its actions by examples; choose few-shot or completion, and shots=1 or more"
        )
    forms = task.forms if folder is None else task.forms.at(folder)
    if prompts == AUTO and shots is None and forms.fitted:
        return task
    if shots is not None and shots > forms.most_shots:
        raise SettingsError(
            f"shots={shots}: rStar's prompts for {task.name} have {forms.most_shots} examples"
        )
    turns = prompts == "few-shot" or (prompts != "completion" and answers_chats(policy))
    task = replace(task, forms=forms.fit(turns=turns, shots=shots))
    if folder is not None:
        return fit_task(task, policy, prompts=folder) if _asks(folder) else fit_task(task, policy)
    own = not isinstance(task.messages, Asking)
    return task if own else fit_task(task, policy, prompts=prompts)


def _asking(
    files: PromptFiles, policy: Policy, prompts: str, shots: int | None, task: str
) -> Asking:
    """How these files ask this model.

    Raises:
        SettingsError: What is asked for contradicts itself, or is more than there is.
    """
    there, mine = len(files.examples.pairs), files.where is not None
    if shots is not None and shots > there:
        whose = f"the prompts {files.name} have" if mine else f"the task {task} has"
        raise SettingsError(f"shots={shots}: {whose} {there} examples")
    style = _style(policy, prompts, shots, there, mine=mine)
    if style == "zero-shot":
        if shots:
            raise SettingsError(
                f"zero-shot with shots={shots}: choose few-shot, or leave shots out"
            )
        _ = files.instruction  # a missing or damaged file is told at once
        return Asking(files, fitted=True)
    asking = Asking(files, style, there if shots is None else shots, fitted=True)
    if style == "few-shot" and not asking.shots:
        raise SettingsError(
            "few-shot without an example is zero-shot; choose that, or shots=1 or more"
        )
    asking("")
    return asking


def _style(policy: Policy, prompts: str, shots: int | None, there: int, *, mine: bool) -> Style:
    if prompts != AUTO:
        return cast("Style", prompts)
    wanted = shots if shots is not None else there if mine else 0
    if answers_chats(policy):
        return "few-shot" if wanted else "zero-shot"
    return "zero-shot" if mine and not there else "completion"


def _folder(prompts: str | Path) -> Path | None:
    """The folder that is meant, None for a style.

    Raises:
        SettingsError: It is neither.
    """
    if prompts in (AUTO, *STYLES):
        return None
    try:
        folder = Path(prompts).expanduser().resolve()
        if str(prompts).strip() and folder.is_dir():
            return folder
    except (OSError, RuntimeError, TypeError, ValueError):  # no path at all
        pass
    raise SettingsError(
        f"prompts={str(prompts)[:80]!r}: choose auto, {', '.join(STYLES)}, or give a folder that "
        "holds instruction.txt"
    )


def _in(folder: Path) -> PromptFiles:
    return PromptFiles(folder.name, folder.parent)


def _asks(folder: Path) -> bool:
    return has_prompt(f"{folder.name}/instruction", folder.parent)


def _check_shots(shots: object) -> None:
    if shots is None or (isinstance(shots, int) and not isinstance(shots, bool) and shots >= 0):
        return
    raise SettingsError(f"shots={shots!r}: give the number of examples, 0 or more")
