"""Speed of measuring completions, next to a plain loop and to the gradient collectors of other libraries: `python -m
research.benchmarks.completions`.

A random Llama of SmolLM2-135M's width and vocabulary (576, 49,152) with some of its layers, LoRA of rank 16 on all linear maps of
the layers, and rows of random tokens: prompts of 16 to 48, completions of 8 to 64. At each of the checkpoints:

    all        thresher, every signal: loss, EL2N, ..., loss without the prompt, Gram matrix for VoG, norms of adapters and head
    plain      the same signals, one row at a time by autograd: forward, gradient at the embeddings, gradient of the parameters
    adapters   thresher, the norms of the adapters only (and what every pass gives)
    dattri-llm, bergson   the norms of the adapters by their hooks, in batches by length, where they are installed
               (self_influence/requirements-peers.txt)

In one single-threaded process, in turns. Times are processor seconds, and the fastest repetition counts. Each of the other
libraries has the batch size at which it is fastest; no parameter takes a gradient, and backward begins from the summed losses of
the rows. Written to bench.json: rows per second of all checkpoints, and the largest relative difference of the adapters' squared
norms from those of the plain loop.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import peft
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from research.benchmarks.record import machine, missing, record
from research.benchmarks.self_influence.peers import completions as peers
from thresher.signals.completions import CompletionTokensOfRows, measure_completions, swap_to

MAPS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
EVERYTHING = ("loss_alone", "gradient_gram", "classifier_sq_norm", "adapter_sq_norm")
ADAPTERS = "adapter_sq_norm"


@dataclass(frozen=True)
class Problem:
    """A model with LoRA, functions that put the weights of its checkpoints into it, and rows by length."""

    model: nn.Module
    weights: list[Callable[[], None]]
    rows: CompletionTokensOfRows


def problem(layers: int, rows: int, checkpoints: int) -> Problem:
    """The setting of the benchmark; the cost of a pass does not depend on the weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=layers,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    lora = peft.LoraConfig(task_type="CAUSAL_LM", r=16, target_modules=MAPS, init_lora_weights=False)
    model = peft.get_peft_model(LlamaForCausalLM(config), lora).eval()
    trained = {name: one.detach() for name, one in model.named_parameters() if one.requires_grad}
    weights = [
        swap_to(model, {name: one + 0.002 * torch.randn_like(one) for name, one in trained.items()})
        for _ in range(checkpoints)
    ]
    rng = np.random.default_rng(0)
    lengths = sorted(zip(rng.integers(16, 49, rows), rng.integers(8, 65, rows), strict=True), key=sum)
    prompts, completions = ([rng.integers(0, 49152, one[i]).tolist() for one in lengths] for i in (0, 1))
    return Problem(
        model.requires_grad_(False), weights, CompletionTokensOfRows(prompts, completions, [0, 1, 2])
    )


def plain(given: Problem) -> np.ndarray:
    """Every signal as one writes it at first: row by row, logits of all tokens, autograd for every gradient; (N, C)."""
    model, rows = given.model, given.rows
    base = model.get_base_model()
    adapters = [one for name, one in model.named_parameters() if "lora_" in name]
    # Tied, the head would take the gradient of the embeddings, too.
    head = nn.Parameter(base.lm_head.weight.detach())
    base.lm_head.weight = head
    wanted = [*adapters, head]
    norms = np.zeros((len(rows), len(given.weights)))
    for row, (prompt, completion) in enumerate(zip(rows.prompts, rows.completions, strict=True)):
        gradients = []
        for at, put in enumerate(given.weights):
            put()
            for one in wanted:
                one.requires_grad_(True)
            embedded: list[Tensor] = []
            handle = base.get_input_embeddings().register_forward_hook(
                lambda module, args, output, into=embedded: into.append(output.requires_grad_())
            )
            loss, true_logits = of_row(model, prompt, completion)
            handle.remove()
            (gradient,) = torch.autograd.grad(true_logits.sum(), embedded[0], retain_graph=True)
            gradients.append(gradient.flatten())
            found = torch.autograd.grad(loss, wanted)
            norms[row, at] = sum(float(one.double().square().sum()) for one in found[:-1])
            found[-1].square().sum()
        with torch.no_grad():
            of_row(model, rows.empty_prompt, completion)
        stacked = torch.stack(gradients)
        stacked @ stacked.T
    model.requires_grad_(False)
    base.tie_weights()
    return norms


def of_row(model: nn.Module, prompt: Any, completion: Any) -> tuple[Tensor, Tensor]:
    """The mean loss of a row's completion, and the true tokens' logits."""
    logits = model(input_ids=torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1]
    labels = torch.tensor(completion)
    return nn.functional.cross_entropy(logits, labels), logits.gather(1, labels[:, None])


def ours(given: Problem, signals: tuple[str, ...]) -> np.ndarray:
    """The adapters' norms by thresher, with the other signals."""
    found = measure_completions(given.model, given.rows, given.weights, signals, batch_tokens=1024)
    return found[ADAPTERS]


def seconds(run: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Processor seconds, and what was computed."""
    started = time.process_time()
    found = run()
    return time.process_time() - started, found


def installed(package: str) -> str | None:
    """The version of a package, None without it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def measured(given: Problem, repetitions: int, batch_sizes: list[int]) -> dict[str, Any]:
    """Processor seconds and rows per second of everything that can run here, and how near the norms are to the plain ones."""
    methods: dict[str, Callable[[], np.ndarray]] = {
        "all": lambda: ours(given, EVERYTHING),
        "plain": lambda: plain(given),
        "adapters": lambda: ours(given, (ADAPTERS,)),
    }
    versions, sizes = {}, {}
    for package, collect in peers.COLLECTORS.items():
        found = installed(package)
        if found is None:
            continue
        trials = {
            size: seconds(lambda collect=collect, size=size: collect(given, size))[0] for size in batch_sizes
        }
        versions[package], sizes[package] = found, min(trials, key=lambda size: trials[size])
        methods[package] = lambda collect=collect, size=sizes[package]: collect(given, size)
    times: dict[str, list[float]] = {name: [] for name in methods}
    norms = {}
    for _ in range(repetitions):
        for name, run in methods.items():
            took, norms[name] = seconds(run)
            times[name].append(took)
            print(f"{name}: {took:.1f} s", flush=True)
    return {
        "machine": machine(),
        "rows": len(given.rows),
        "tokens_per_row": float(given.rows.lengths.mean()),
        "checkpoints": len(given.weights),
        "versions": versions,
        "batch_sizes": sizes,
        "processor_seconds": times,
        "rows_per_second": {name: len(given.rows) / min(took) for name, took in times.items()},
        "largest_relative_difference": {
            name: float(np.abs(found / norms["plain"] - 1).max()) for name, found in norms.items()
        },
    }


def main() -> None:
    """Measure every number of layers that has no figure yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, nargs="+", default=[4, 30])
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--checkpoints", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--again", action="store_true", help="repeat what is in bench.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for layers in given.layers:
        name = f"{layers} layers"
        if missing("completions", name, given.again):
            print(f"completions: {name}", flush=True)
            found = measured(
                problem(layers, given.rows, given.checkpoints), given.repetitions, given.batch_sizes
            )
            record("completions", name, found)


if __name__ == "__main__":
    main()
