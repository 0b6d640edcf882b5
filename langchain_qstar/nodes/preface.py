"""What a run has beside its question: images, earlier turns of its thread, and a memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from langchain_qstar.protocols import State
from langchain_qstar.state.channels import MemoryFacts, Preface
from langchain_qstar.tree import NodeRecord


def preface_of(root: NodeRecord) -> Preface:
    """The preface of a run, from its root."""
    preface: Preface = {}
    if images := root["run"].get("images"):
        preface["images"] = images
    if turns := root.get("turns"):
        preface["turns"] = [message for turn in turns for message in turn["messages"]]
    if memory := root.get("memory"):
        preface["memory"] = cast("MemoryFacts", memory)
    return preface


def prefaced(state: State, preface: Preface | Mapping[str, Any]) -> State:
    """A state as a model is to read it: after earlier turns, with the images."""
    if not preface:
        return state
    turns = tuple((role, content) for role, content in preface.get("turns", ()))
    messages = state.messages or (("user", state.question),)
    return replace(
        state,
        messages=(*turns, *messages) if turns else state.messages,
        images=tuple(preface.get("images", ())),
    )
