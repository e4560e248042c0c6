"""Every setting of a run with its default, a file for each part of the job; `run.yaml` is this in YAML."""

from thresher.config.data import DataConfig
from thresher.config.experiments import CompareConfig, HowMuchConfig, NoiseConfig, SweepConfig
from thresher.config.measure import SIGNALS, MeasureConfig, ScoreConfig, Signal
from thresher.config.model import ModelConfig, ProxyConfig, frozen_layers
from thresher.config.run import Preset, RunConfig
from thresher.config.select import SelectConfig
from thresher.config.train import GenerateConfig, TrainConfig

__all__ = [
    "SIGNALS",
    "CompareConfig",
    "DataConfig",
    "GenerateConfig",
    "HowMuchConfig",
    "MeasureConfig",
    "ModelConfig",
    "NoiseConfig",
    "Preset",
    "ProxyConfig",
    "RunConfig",
    "ScoreConfig",
    "SelectConfig",
    "Signal",
    "SweepConfig",
    "TrainConfig",
    "frozen_layers",
]
