from __future__ import annotations

import pytest

from langchain_qstar.models.scripted import ScriptedPolicy


class Base(ScriptedPolicy):
    """A model without chat training."""

    chats = False


@pytest.fixture
def chat():
    """A model that does not say whether it answers chats."""
    return ScriptedPolicy({})


@pytest.fixture
def base():
    return Base({})


@pytest.fixture
def folder(tmp_path):
    """Makes a folder of prompts: `folder(instruction="...", examples="...")`."""

    def make(name: str = "mine", **files: str):
        made = tmp_path / name
        made.mkdir(exist_ok=True)
        for file, text in files.items():
            (made / f"{file}.txt").write_text(text)
        return made

    return make
