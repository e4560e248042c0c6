"""Speed of the measuring pass against the paper's algorithm and against the machine: `python -m
research.benchmarks.measuring`.

The bundled encoder with 6 and with 3 layers and a head, 10 checkpoints, SNLI pairs and CLINC150 texts:

    padded     (a) batches of 32 padded to 128 tokens, true logit .backward() with parameter gradients on
    dynamic    (b) the same, padded to the longest row of the batch
    vog        (c) thresher, `measure.signals=gradient_gram`
    all        (d) thresher, every signal
    products   (e) only the matrix products of the encoder's linear layers, forward and backward

Each runs once per repetition, in turns, in one single-threaded process. Times are CPU seconds, and the fastest
repetition counts, to keep the effect of other work on the machine small. The limit is the rows per second if only the
products that (c) needs were computed, on real tokens, at the rate of (e). Checkpoints are the bundled weights plus
noise: the cost of a pass does not depend on their values."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from research.benchmarks.record import machine, missing, record
from research.places import DATA
from thresher.config import SIGNALS, ModelConfig
from thresher.models.classifier import Classifier
from thresher.models.encoder import embedding_layer, load_encoder
from thresher.models.tokens import Tokens, pad_batch, tokenise
from thresher.signals.attention import use_short_attention
from thresher.signals.batch import swap_weights
from thresher.signals.batches import tight_batches
from thresher.signals.chunk import measure_tokens

TEXTS = {"snli": (("premise", "hypothesis"), "label"), "clinc150": (("text",), "intent")}
CHECKPOINTS, CHUNK, BATCH_TOKENS = 10, 1024, 1024
# The plain algorithm costs the same for every checkpoint, and is slow: fewer checkpoints are run and the time is scaled.
PLAIN_CHECKPOINTS = 2
# The rate of the products is a sustained one: as many in a row as take about two seconds.
PRODUCTS = 25


def setting(data: str, layers: int) -> tuple[Classifier, list[dict[str, Tensor]], Tokens, np.ndarray]:
    """Model, checkpoints, the tokens of a chunk of rows, labels."""
    torch.manual_seed(0)
    columns, label = TEXTS[data]
    lines = (DATA / data / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(lines[i]) for i in np.random.default_rng(0).choice(len(lines), CHUNK, replace=False)]
    classes = sorted({json.loads(line)[label] for line in lines})
    config = ModelConfig(layers=layers)
    encoder, tokenizer = load_encoder(config)
    model = Classifier(encoder, len(classes), config).eval()
    state = model.state_dict()
    checkpoints = [
        {name: v + 0.002 * torch.randn_like(v) if v.is_floating_point() else v for name, v in state.items()}
        for _ in range(CHECKPOINTS)
    ]
    tokens = tokenise([[row[column] for row in rows] for column in columns], tokenizer, config.max_length)
    return model, checkpoints, tokens, np.array([classes.index(row[label]) for row in rows])


def plain_vog(
    model: Classifier,
    checkpoints: list[dict[str, Tensor]],
    tokens: Tokens,
    labels: np.ndarray,
    width: int | None,
) -> Tensor:
    """VoG as one writes it at first: all parameters take gradients, the gradients of all checkpoints are kept."""
    kept: list[Tensor] = []
    model.requires_grad_(True)

    def keep(module: nn.Module, given: Any, output: Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    handle = embedding_layer(model.encoder).register_forward_hook(keep)
    batch = pad_batch(tokens, range(len(tokens)))
    if width is not None:
        more = width - batch["input_ids"].shape[1]
        batch = {name: nn.functional.pad(value, (0, more)) for name, value in batch.items()}
    gradients = []
    for weights in checkpoints:
        swap_weights(model, weights)
        model.zero_grad()
        logits = model(**batch).logits
        logits.gather(1, torch.from_numpy(labels)[:, None]).sum().backward()
        gradients.append(kept.pop().grad)
    handle.remove()
    model.zero_grad()
    model.requires_grad_(False)
    return torch.stack(gradients).var(0).sum((1, 2))  # type: ignore[arg-type]


def products(hidden: int, inner: int, tokens: int = BATCH_TOKENS) -> tuple[Callable[[], None], float]:
    """The products of one layer's linear maps for a batch, forward and backward, and how many operations they are."""
    shapes = [(hidden, hidden)] * 4 + [(inner, hidden), (hidden, inner)]
    weights = [torch.randn(shape) for shape in shapes]
    flow = {width: torch.randn(tokens, width) for width in (hidden, inner)}

    def run() -> None:
        for weight in weights:
            flow[weight.shape[1]] @ weight.T
            flow[weight.shape[0]] @ weight

    return run, sum(4.0 * tokens * a * b for a, b in shapes)


def operations(model: Classifier, lengths: np.ndarray) -> float:
    """Operations of the products that one forward and one backward to the embedding output need, on true tokens.

    Per layer: the linear maps twice; of attention Q K^T and P V forward, and twice as many backward.
    """
    config: Any = model.encoder.config
    hidden, inner = config.hidden_size, config.intermediate_size
    linear = 4.0 * (4 * hidden * hidden + 2 * hidden * inner) * lengths
    attention = 12.0 * hidden * lengths**2
    head = sum(
        4.0 * layer.in_features * layer.out_features for layer in model.head if isinstance(layer, nn.Linear)
    )
    return float((config.num_hidden_layers * (linear + attention) + head).sum())


def seconds(run: Callable[[], Any]) -> float:
    """Processor seconds."""
    started = time.process_time()
    run()
    return time.process_time() - started


def measured(data: str, layers: int, repetitions: int, every: int) -> dict[str, Any]:
    """All figures of one workload."""
    model, checkpoints, tokens, labels = setting(data, layers)
    model.requires_grad_(False)
    # Every so many of the batches that the chunk is cut into, so that long and short rows have their share.
    ours = np.concatenate(tight_batches(tokens.lengths, BATCH_TOKENS)[every // 2 :: every])
    plain = np.random.default_rng(1).choice(len(tokens), 64, replace=False)
    few = checkpoints[:PLAIN_CHECKPOINTS]
    config: Any = model.encoder.config
    run_products, work = products(config.hidden_size, config.intermediate_size)

    def with_ours(signals: tuple[str, ...]) -> Any:
        return measure_tokens(model, checkpoints, tokens.take(ours), labels[ours], signals, BATCH_TOKENS)

    def with_plain(width: int | None, rows: np.ndarray) -> None:
        for some in np.split(rows, len(rows) // 32):
            plain_vog(model, few, tokens.take(some), labels[some], width)

    scale = CHECKPOINTS / PLAIN_CHECKPOINTS
    # For each: what runs (with which attention), rows, factor on the time.
    variants: dict[str, tuple[Callable[[], Any], str, int, float]] = {
        "padded": (lambda: with_plain(128, plain[:32]), "sdpa", 32, scale),
        "dynamic": (lambda: with_plain(None, plain), "sdpa", 64, scale),
        "vog": (lambda: with_ours(("gradient_gram",)), "short", len(ours), 1.0),
        "all": (lambda: with_ours(SIGNALS), "short", len(ours), 1.0),
    }
    times: dict[str, list[float]] = {name: [] for name in (*variants, "products")}
    for _ in range(repetitions):
        for name, (run, attention, _, factor) in variants.items():
            model.encoder.set_attn_implementation("sdpa")
            if attention == "short":
                use_short_attention(model.encoder)
            times["products"].append(seconds(lambda: [run_products() for _ in range(PRODUCTS)]))
            times[name].append(seconds(run) * factor)
    least = {name: min(values) for name, values in times.items()}
    rate = PRODUCTS * work / least["products"]
    rows_per_second = {name: count / least[name] for name, (_, _, count, _) in variants.items()}
    limit = len(ours) / (CHECKPOINTS * operations(model, tokens.lengths[ours]) / rate)
    return {
        "machine": machine(),
        "repetitions": repetitions,
        "tokens_per_row": {
            "all": tokens.lengths.mean(),
            "ours": tokens.lengths[ours].mean(),
            "plain": tokens.lengths[plain].mean(),
        },
        "rows": {name: count for name, (_, _, count, _) in variants.items()},
        "processor_seconds": times,
        "gflops": rate / 1e9,
        "rows_per_second": {**rows_per_second, "limit": limit},
        "vog_over_padded": rows_per_second["vog"] / rows_per_second["padded"],
        "vog_over_dynamic": rows_per_second["vog"] / rows_per_second["dynamic"],
        "all_cost_over_vog": rows_per_second["vog"] / rows_per_second["all"],
        "vog_over_limit": rows_per_second["vog"] / limit,
        "profile": profiled(lambda: measure_tokens(model, checkpoints[:2], tokens.take(ours), labels[ours])),
    }


def profiled(run: Callable[[], Any], top: int = 12) -> list[tuple[str, float]]:
    """The operations that take the most time of their own, with their share of all."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        run()
    events = [(event.key, float(event.self_cpu_time_total)) for event in found.key_averages()]
    total = sum(share for _, share in events)
    return [(name, share / total) for name, share in sorted(events, key=lambda event: -event[1])[:top]]


def main() -> None:
    """Measure every workload that has no figure yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, nargs="+", default=[6, 3])
    parser.add_argument("--data", nargs="+", choices=sorted(TEXTS), default=sorted(TEXTS))
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument(
        "--every", type=int, default=8, help="measure every n-th batch of a chunk of 1,024 rows"
    )
    parser.add_argument("--again", action="store_true", help="repeat what is in bench.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for data in given.data:
        for layers in given.layers:
            name = f"{data}, {layers} layers"
            if missing("measuring", name, given.again):
                print(f"measuring: {name}", flush=True)
                record("measuring", name, measured(data, layers, given.repetitions, given.every))


if __name__ == "__main__":
    main()
