"""What can be set about mutual verification, whatever search found the candidates."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from langchain_qstar.settings.checked import Count, Settings
from langchain_qstar.verification.agreement import Agreement
from langchain_qstar.verification.masking import MaskUnit

Share = Annotated[float, Field(gt=0, lt=1)]


class VerificationSettings(Settings):
    """The settings of a verification by completion (rStar, section 3.3).

    Raises:
        SettingsError: A name is unknown or a value out of its range.
    """

    mask_unit: MaskUnit = "words"
    """Whether a mask is a share of a candidate's words or of its steps."""
    masks: tuple[Share, ...] = Field((0.2, 0.3, 0.4, 0.5), min_length=1)
    """Shares of a candidate that the verifier is shown, each in (0, 1)."""
    random_mask: tuple[Share, Share] | None = None
    """Instead of `masks` one mask at a random whole number of steps between these shares."""
    completions_per_mask: Count = 1
    """Completions drawn from what each mask leaves."""
    agreement: Agreement = "mid"
    """Which candidates survive: one completion reaches their answer (`loose`), half of them
    (`mid`), all (`strict`), or more than reach any other answer (`majority`)."""
    verifier_temperature: float = Field(1.0, ge=0)
    """Of the completions; 0 is greedy. 1.0 is the official code's."""

    @field_validator("random_mask")
    @classmethod
    def _in_order(cls, mask: tuple[float, float] | None) -> tuple[float, float] | None:
        if mask and mask[0] > mask[1]:
            raise ValueError("write the smaller share first")
        return mask
