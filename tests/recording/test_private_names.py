"""Only `recording/hf_compat.py` uses undocumented names of transformers, accelerate and torch."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import thresher

PACKAGE = Path(thresher.__file__).parent
COMPAT = PACKAGE / "recording" / "hf_compat.py"
LIBRARIES = ("accelerate", "datasets", "peft", "tokenizers", "torch", "transformers", "trl")
# Public in spite of their form: methods of named tuples, and how an object shows itself in a notebook.
PUBLIC = {"_asdict", "_fields", "_replace", "_repr_html_"}
# Names without an underscore that are nowhere documented.
UNDOCUMENTED = {
    "base_dataloader",
    "callback_handler",
    "is_deepspeed_enabled",
    "is_distributed_loading_by_transformers",
    "is_fsdp_enabled",
    "is_fsdp_xla_enabled",
    "split_batches",
}


def private(name: object) -> bool:
    """Whether a name is not promised to anybody outside of the class or library it belongs to."""
    if not isinstance(name, str):
        return False
    hidden = name.startswith("_") and not name.startswith("__") and name not in PUBLIC
    return hidden or name in UNDOCUMENTED


def foreign_private_names(source: str) -> Iterator[str]:
    """Every access to a private name of an object other than self, cls or a module of Python's own, as `line: code`."""
    for node in ast.walk(ast.parse(source)):
        found = False
        if isinstance(node, ast.Attribute):
            own = ("self", "cls", *sys.stdlib_module_names)
            found = private(node.attr) and not (isinstance(node.value, ast.Name) and node.value.id in own)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) > 1:
            by_name = node.func.id in ("getattr", "hasattr", "setattr", "delattr")
            found = by_name and isinstance(node.args[1], ast.Constant) and private(node.args[1].value)
        elif isinstance(node, ast.Subscript):
            # Writing past a class that refuses an assignment.
            into = ast.unparse(node.value)
            found = isinstance(node.ctx, ast.Store) and (
                into.startswith("vars(") or into.endswith("__dict__")
            )
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in LIBRARIES:
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            found = any(map(private, parts))
        elif isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base) for base in node.bases}
            methods = [one for one in node.body if isinstance(one, ast.FunctionDef)]
            found = "Trainer" in bases and any(private(one.name) for one in methods)
        if found:
            yield f"{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_no_module_touches_private_names_of_others(path):
    if path != COMPAT:
        assert list(foreign_private_names(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "code",
    [
        "trainer._globalstep_last_logged += 1",
        "trainer.callback_handler.callbacks.insert(0, callback)",
        'vars(base)["dataset"] = rows',
        'base.__dict__["dataset"] = rows',
        "arguments._n_gpu = 1",
        "inputs = self.trainer._prepare_inputs(batch)",
        'forward = getattr(model, "_original_forward", model)',
        "if encoder.config._attn_implementation: pass",
        "class Ordered(Trainer):\n    def _get_train_sampler(self): pass",
        "from transformers.trainer import _is_peft_model",
        "from torch._dynamo import config",
        'getattr(loader, "base_dataloader", loader)',
    ],
)
def test_the_check_finds(code):
    assert len(list(foreign_private_names(code))) == 1


@pytest.mark.parametrize(
    "code", ["self._order = 1", "slot._asdict()", "os._exit(1)", "torch.__version__", 'vars(self).pop("a")']
)
def test_the_check_passes(code):
    assert list(foreign_private_names(code)) == []


def test_the_file_that_holds_them_is_found_and_not_empty():
    assert len(list(foreign_private_names(COMPAT.read_text(encoding="utf-8")))) >= 8
