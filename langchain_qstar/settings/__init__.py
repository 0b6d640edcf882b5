"""What can be set about a search: one frozen, checked object a method."""

from __future__ import annotations

from langchain_qstar.settings.checked import Settings
from langchain_qstar.settings.qstar import BUDGETS, QStarSettings
from langchain_qstar.settings.rstar import RSTAR_BUDGETS, RStarSettings
from langchain_qstar.settings.verification import VerificationSettings

__all__ = [
    "BUDGETS",
    "RSTAR_BUDGETS",
    "QStarSettings",
    "RStarSettings",
    "Settings",
    "VerificationSettings",
]
