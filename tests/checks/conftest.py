from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_process_is_left() -> Iterator[None]:
    yield
    from langchain_qstar.checks.latex import ALGEBRA

    ALGEBRA.close()
