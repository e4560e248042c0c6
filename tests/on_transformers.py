"""Run the tests that depend on transformers with the oldest and the newest version that pyproject.toml allows.

Each version gets an environment `.transformers-oldest` or `.transformers-newest` in the checkout, which holds transformers and
what that version needs in another version, and sees everything else of the environment that this is run with. Arguments are
passed to pytest: `python tests/on_transformers.py -x -k bert`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

CHECKOUT = Path(__file__).parents[1]
TESTS = (
    "tests/recording/test_hf_compat.py",
    "tests/recording/test_never_ends_a_training.py",
    "tests/recording/test_watch.py",
    "tests/training/test_diet.py",
    "tests/training/test_fit.py",
)


def allowed() -> Requirement:
    """What pyproject.toml requires of transformers."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = map(Requirement, project["dependencies"])
    return next(one for one in required if one.name == "transformers")


def environment(name: str, requirement: str) -> Path:
    """The interpreter of an environment with that transformers, beside the packages of this one."""
    folder = CHECKOUT / f".transformers-{name}"
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    own = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    Path(own.strip(), "beside.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--upgrade"]
    subprocess.run([*pip, requirement], check=True)
    return python


def main(arguments: list[str]) -> int:
    """Both versions, one after the other; the number of those that fail."""
    requirement, failed = allowed(), 0
    (oldest,) = (one.version for one in requirement.specifier if one.operator == ">=")
    for name, version in (("oldest", f"transformers=={oldest}"), ("newest", str(requirement))):
        python = environment(name, version)
        shown = subprocess.check_output(
            [python, "-c", "import transformers as t; print(t.__version__, t.__file__)"], text=True
        )
        print(f"{name}: transformers {shown}", end="", flush=True)
        paths = os.pathsep.join(filter(None, [str(CHECKOUT / "src"), os.environ.get("PYTHONPATH")]))
        run = subprocess.run(
            [python, "-m", "pytest", "-p", "no:cacheprovider", *TESTS, *arguments],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": paths},
            check=False,
        )
        failed += run.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
