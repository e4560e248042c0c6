"""The set-up of the run: data, model, recipe, versions, times, and how each score was computed."""

from __future__ import annotations

from thresher.config import RunConfig, frozen_layers
from thresher.facts.comparison import ComparisonFacts
from thresher.facts.scores import ScoresFacts
from thresher.report.format import count, duration, score_value
from thresher.report.read import RunFiles
from thresher.run.manifest import Recorded
from thresher.run.run import JOB

# The names that encoder configurations use for the number of layers.
LAYER_KEYS = ("num_hidden_layers", "n_layers", "n_layer")
FROZEN = ", frozen: only the head is trained, and gradients are taken at its input"
Facts = list[tuple[str, str]]


def facts(files: RunFiles, entry: ComparisonFacts | None) -> dict[str, Facts]:
    manifest, recorded = files.manifest, files.manifest.recorded
    return {
        "Data": _data(files),
        "Model": _recorded_model(recorded) if recorded else _model(files),
        "Training": _recorded_training(recorded, _steps(files))
        if recorded
        else [*_training(files, entry), *_compared(entry)],
        "Versions": [("thresher", manifest.thresher), *manifest.versions.items()],
    }


def _steps(files: RunFiles) -> int | None:
    return files.records["train"].facts.get("steps") if "train" in files.records else None


def moment(written: object) -> str:
    """A time stamp, shortened to minutes.

    >>> moment("2026-02-03T10:11:12+0000")
    '2026-02-03 10:11'
    """
    return str(written)[:16].replace("T", " ")


def _data(files: RunFiles) -> Facts:
    manifest, data = files.manifest, files.manifest.config.data
    return [
        ("Training rows", f"{data.train} ({count(manifest.n_rows, 'row')})"),
        ("Test rows", _test_rows(files)),
        ("Text", ", ".join(data.text)),
        *(
            []
            if manifest.task == "text"
            else [("Label", f"{data.label} ({count(len(manifest.classes), 'class')})")]
        ),
        ("Groups", ", ".join(data.groups) or "none given"),
        ("Hash of the rows", manifest.rows_hash),
        ("Started", moment(manifest.created)),
    ]


def _test_rows(files: RunFiles) -> str:
    if not files.manifest.test_hash:
        return "none given"
    held_out = files.manifest.held_out
    if held_out and not files.manifest.config.data.test:
        return f"{count(held_out.rows, 'row')} held out of the training rows: no model trains on them, and all of them are kept"
    audited = files.audit["test"] if files.audit else None
    number = files.manifest.n_test or (audited["n"] if audited else None)
    name = files.manifest.config.data.test or "given in memory"
    return f"{name} ({count(number, 'row')})" if number else name


def _model(files: RunFiles) -> Facts:
    model = files.manifest.config.model
    proxy = scored_by(files.manifest.config)
    # In a run with a proxy, the trained model is the proxy.
    parameters = (
        None if proxy or "train" not in files.records else files.records["train"].facts.get("parameters")
    )
    measured = files.records["measure"].facts if "measure" in files.records else {}
    if files.manifest.config.data.task == "generate":
        generate = files.manifest.config.generate
        adapters = f"LoRA adapters of rank {generate.lora}" if generate.lora else "all weights train"
        return [
            ("Language model", model.name),
            ("Layers", _layers(files)),
            ("Trained", f"{adapters} ({count(parameters)} weights)" if parameters else adapters),
            ("Template", generate.template),
            ("Longest row", count(model.max_length, "token")),
            *([("Rows cut", count(measured["truncated"]))] if "truncated" in measured else []),
        ]
    pairs = [
        ("Encoder", model.name + (FROZEN if model.freeze else "")),
        ("Layers", _layers(files)),
        ("Pooling", model.pooling),
        ("Head", f"{' and '.join(map(str, model.head_hidden))} hidden, dropout {model.dropout:g}"),
        ("Longest row", count(model.max_length, "token")),
    ]
    if proxy is not None:
        pairs.append(("Scores from", proxy))
    if parameters:
        pairs.append(("Parameters", f"{parameters / 1e6:.1f} million"))
    if "truncated" in measured:
        pairs.append(("Rows cut", count(measured["truncated"])))
    return pairs


def scored_by(config: RunConfig) -> str | None:
    """The proxy that scored the rows, None if the model itself did."""
    encoder = config.proxy.encoder
    if encoder == "none":
        return None
    layers = frozen_layers(encoder)
    if layers is None:
        return f"its first {count(int(encoder), 'layer')}"
    part = "" if layers == "all" else f"the first {count(layers, 'layer')} of "
    return f"a head on {part}the encoder as it is"


def _layers(files: RunFiles) -> str:
    asked = str(files.manifest.config.model.layers)
    used = next((files.encoder[key] for key in LAYER_KEYS if key in files.encoder), None)
    width = files.encoder.get("hidden_size") or files.encoder.get("dim")
    return (
        asked
        if used is None
        else f"{used}" + (f" of width {width}" if width else "") + f" (asked for: {asked})"
    )


def _training(files: RunFiles, entry: ComparisonFacts | None) -> Facts:
    train = files.manifest.config.train
    length = f"{count(train.max_steps)} steps" if train.max_steps else f"{train.epochs:g} epochs"
    steps, runs = _steps(files), train.runs
    if scored_by(files.manifest.config) is not None:
        steps = entry["settings"]["steps_full"] if entry else None
        runs = max((one.get("runs_used", runs) for one in files.about["scores"].values()), default=runs)
    every, rates = train.checkpoint_every, f"encoder {train.encoder_lr:g}, head {train.head_lr:g}"
    if files.manifest.config.data.task == "generate":
        rates = f"{files.manifest.config.generate.lr:g}"
    return [
        ("Length", f"{length} ({count(steps)} steps)" if steps and not train.max_steps else length),
        ("Batch", count(train.batch_size, "row")),
        ("Learning rates", rates),
        ("Schedule", f"{train.schedule}, {100 * train.warmup:g}% warm-up"),
        ("Weight decay", f"{train.weight_decay:g}"),
        ("Checkpoints", f"every {count(every)} steps" if every else f"{train.checkpoints}, evenly spaced"),
        ("Scored runs", f"{count(runs, 'training')}, first seed {train.seed}"),
    ]


def _recorded_model(recorded: Recorded) -> Facts:
    """A model that the user's own code trained: its class, and the name or folder that it was loaded from."""
    return [("Model", recorded.model), *([("Loaded from", recorded.name)] if recorded.name else [])]


def _recorded_training(recorded: Recorded, steps: int | None) -> Facts:
    """A recorded training: what its trainer reported."""
    length = f"{recorded.epochs:g} epochs" + (f" ({count(steps)} steps)" if steps else "")
    return [
        ("Recorded", f"a {recorded.trainer}; every row at each of its training steps, in training mode"),
        ("Length", length),
        (
            "Batch",
            f"{count(recorded.batch_size, 'row')} in each of {count(recorded.processes, 'process')}",
        ),
        *([] if recorded.seed is None else [("Seed", str(recorded.seed))]),
    ]


def _compared(entry: ComparisonFacts | None) -> Facts:
    if not entry:
        return []
    return [("Compared with", f"seeds {', '.join(map(str, entry['settings']['seeds']))} for each arm")]


def times(files: RunFiles) -> list[dict[str, str]]:
    """The finished steps, with the time that each took if it was measured."""
    return [
        {"step": step, "took": duration(found.seconds or None), "finished": moment(found.finished)}
        for step in JOB
        if (found := files.records.get(step))
    ]


def score_facts(about: ScoresFacts) -> list[dict[str, object]]:
    """Per score: which end is hard, how it is normalised, how many runs it was averaged over, its options and source."""
    return [
        {
            "name": name,
            "hard": found["hard"],
            "normalise": found.get("normalise", "raw"),
            "runs": found.get("runs_used", ""),
            "options": ", ".join(
                f"{key}={_option(value)}" for key, value in (found.get("options") or {}).items()
            ),
            "cost": found.get("cost", ""),
            "source": found.get("source", ""),
        }
        for name, found in about["scores"].items()
    ]


def _option(value: object) -> str:
    return score_value(value) if isinstance(value, float) else "auto" if value is None else str(value)
