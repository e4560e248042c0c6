"""A set of voice commands to try thresher on, made on the spot from Home Assistant's sentence templates."""

from thresher.demo.commands import DemoFiles, generate

__all__ = ["DemoFiles", "generate"]
