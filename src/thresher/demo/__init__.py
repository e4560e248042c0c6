"""Generate the data of `thresher demo`: voice commands from Home Assistant's sentence templates, with planted label noise."""

from thresher.demo.commands import DemoFiles, generate

__all__ = ["DemoFiles", "generate"]
