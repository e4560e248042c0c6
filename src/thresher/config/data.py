"""Section `data`: the rows and their columns."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from thresher.config.section import Section


class DataConfig(Section):
    """Where the rows come from and which columns matter.

    Of rows whose target is a text (`task: generate`), `text` is the prompt and the completion, and `label` a column that all
    rows share; both follow from `prompt`, `completion` and `messages`.
    """

    train: str
    test: str | None = None
    task: Literal["label", "generate"] = Field(
        default="label",
        description="what a row is for: label, a class; generate, a completion that a language model writes",
    )
    text: tuple[str, ...] = Field(min_length=1, max_length=2)
    label: str
    prompt: str | None = Field(default=None, description="the prompt column (default: prompt)")
    completion: str | None = Field(default=None, description="the completion column (default: completion)")
    messages: str | None = Field(
        default=None, description="a column of chat messages, of which the last one is the completion"
    )
    id: str | None = None
    groups: tuple[str, ...] = ()
    where: tuple[str, ...] = Field(
        default=(),
        description="conditions on columns, COL=VALUE or COL!=VALUE; only rows that meet all are read",
    )
    skip_unseen_labels: bool = Field(
        default=False,
        description="skip test rows with a label that no training row has, instead of refusing them",
    )

    @model_validator(mode="before")
    @classmethod
    def _texts(cls, given: Any) -> Any:
        """Fill in text and label of rows whose target is a text."""
        if not isinstance(given, dict):
            return given
        named = [name for name in ("prompt", "completion", "messages") if given.get(name)]
        if given.get("task", "generate" if named else "label") != "generate":
            if named:
                raise ValueError(
                    f"data.{named[0]} (--{named[0]}) is for rows with a text for a target; add --task generate"
                )
            return given
        if given.get("messages") and len(named) > 1:
            raise ValueError("give --messages, or --prompt and --completion, not both")
        texts = ("prompt", "completion")
        if not given.get("messages"):
            texts = (given.get("prompt") or "prompt", given.get("completion") or "completion")
        label = "label" if "label" not in texts else "target"
        return {"text": texts, "label": label, **given, "task": "generate"}

    @field_validator("test")
    @classmethod
    def _given(cls, test: str | None) -> str | None:
        if test is not None and not test.strip():
            raise ValueError(
                "--test is an empty path (a variable that is not set?); give a file, or leave it out"
            )
        return test
