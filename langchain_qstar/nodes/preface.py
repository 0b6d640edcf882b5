"""What every prompt of a run holds beside the question: the images that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_qstar.protocols import State
from langchain_qstar.state.channels import Preface
from langchain_qstar.tree import NodeRecord


def preface_of(root: NodeRecord) -> Preface:
    """The preface of a run, from its root."""
    preface: Preface = {}
    if images := root["run"].get("images"):
        preface["images"] = images
    return preface


def prefaced(state: State, preface: Preface | Mapping[str, Any]) -> State:
    """A state as a model is to read it."""
    return replace(state, images=tuple(preface.get("images", ()))) if preface else state
