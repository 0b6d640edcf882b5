from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

from langchain_qstar.state.events import SearchEvent

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_table_in_the_readme_names_exactly_the_events_that_exist():
    section = README.split("## Events")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    kinds = [get_args(get_type_hints(event)["type"])[0] for event in get_args(SearchEvent)]
    assert listed[1:] == kinds  # the first is the table's head
