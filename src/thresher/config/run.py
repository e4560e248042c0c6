"""All sections: what `run.yaml` holds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from thresher.config.data import DataConfig
from thresher.config.experiments import CompareConfig, HowMuchConfig, NoiseConfig, SweepConfig
from thresher.config.measure import MeasureConfig, ScoreConfig
from thresher.config.model import ModelConfig, ProxyConfig
from thresher.config.section import Section
from thresher.config.select import SelectConfig
from thresher.config.train import GenerateConfig, TrainConfig

Preset = Literal["recommended", "paper"]


class RunConfig(Section):
    """The whole run."""

    data: DataConfig
    preset: Preset = Field(
        default="recommended",
        description="what `run` does where nothing else is asked for: recommended, or paper",
    )
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    proxy: ProxyConfig = ProxyConfig()
    measure: MeasureConfig = MeasureConfig()
    score: ScoreConfig = ScoreConfig()
    select: SelectConfig = SelectConfig()
    generate: GenerateConfig = GenerateConfig()
    compare: CompareConfig = CompareConfig()
    how_much: HowMuchConfig = HowMuchConfig()
    sweep: SweepConfig = SweepConfig()
    noise: NoiseConfig = NoiseConfig()

    @field_validator("data")
    @classmethod
    def _columns_differ(cls, data: DataConfig) -> DataConfig:
        if data.label in data.text:
            raise ValueError(f"column '{data.label}' is given as text and as label")
        return data
