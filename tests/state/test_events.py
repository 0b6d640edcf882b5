from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

from langchain_qstar.state.events import SearchEvent

PAGE = Path(__file__).parents[2] / "docs" / "events-and-tracing.md"


def test_the_table_of_events_names_exactly_those_that_exist():
    section = PAGE.read_text(encoding="utf-8").split("## Events")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    kinds = [get_args(get_type_hints(event)["type"])[0] for event in get_args(SearchEvent)]
    assert listed[1:] == kinds  # the first is the table's head
