"""Sections `model` and `proxy`: the model that is trained, and the one that scores the rows in its place."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from thresher.config.section import LAYERS, MOST, TRAININGS, WIDEST, Section


class ModelConfig(Section):
    """The encoder and the classification head."""

    name: str = Field(
        default="minilm", description="'minilm' (bundled), a Hugging Face name, or a local folder"
    )
    layers: int | Literal["auto", "all"] = Field(
        default="auto",
        description="keep the first n encoder layers; auto: the first 3 of the bundled encoder where it is fine-tuned, else all",
    )
    max_length: int = Field(
        default=128, ge=2, le=MOST, description="tokens per row; longer rows are cut and counted"
    )
    pooling: Literal["auto", "mean", "first", "last"] = Field(
        default="auto", description="auto: mean for encoders, last token for decoder-only models"
    )
    head_hidden: tuple[Annotated[int, Field(ge=1, le=WIDEST)], ...] = Field(
        default=(256, 256), description="hidden widths; two make a 3-layer MLP"
    )
    dropout: float = Field(default=0.1, ge=0, lt=1)
    freeze: bool = Field(
        default=False, description="train only the head, on vectors that the encoder computes once per text"
    )
    encode: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="precision of the pass over a frozen encoder; auto: bfloat16 for a proxy, if it is faster on the machine that"
        " starts the run, else float32",
    )
    trust_remote_code: bool = False


class ProxyConfig(Section):
    """A cheaper model that scores the rows in place of the one that they are selected for."""

    encoder: (
        Annotated[int, Field(ge=1)]
        | Literal["none", "frozen"]
        | Annotated[str, Field(pattern=f"^frozen-{LAYERS}$", examples=["frozen-N"])]
    ) = Field(
        default="none",
        description="score with another model: a head on the frozen encoder (frozen) or on its first N layers (frozen-N),"
        " or the first N layers, fine-tuned",
    )
    trainings: int | None = Field(
        default=None,
        ge=1,
        le=TRAININGS,
        description="trainings of the proxy, whose scores are averaged; default: 3 if frozen (1 on more than 200,000 rows), else"
        " train.runs",
    )


def frozen_layers(encoder: str | int) -> int | Literal["all"] | None:
    """The layers of the frozen encoder named `frozen` or `frozen-N`; None for every other model.

    >>> frozen_layers("frozen"), frozen_layers("frozen-3"), frozen_layers(3)
    ('all', 3, None)
    """
    kind, _, layers = str(encoder).partition("-")
    if kind != "frozen":
        return None
    return int(layers) if layers else "all"
