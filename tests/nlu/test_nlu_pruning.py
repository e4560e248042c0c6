"""Pruning a stack: chosen sources, floors, mixed scores, synthetic rows, scores of the joint models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from toy import toy_config, toy_rows

from thresher.errors import UserError
from thresher.models.encoder import embedding_layer
from thresher.models.tokens import pad_batch
from thresher.nlu.pruning import joint_scores as module
from thresher.nlu.pruning.choose import choose, removed_by
from thresher.nlu.pruning.joint_scores import joint_scores, measure
from thresher.nlu.pruning.synthetic import swapped
from thresher.nlu.rows import labels_of, utterances
from thresher.nlu.stack.joint import JointModel
from thresher.nlu.stack.train import joint_parts


def scored(n: int = 400) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    domains = ["big"] * (n - 15) + ["small"] * 15
    return pl.DataFrame(
        {
            "id": [f"r{at}" for at in range(n)],
            "domain": domains,
            "intent": "x",
            "source": ["synthetic" if at % 4 == 0 else "historical" for at in range(n)],
            "vog": np.where(np.array(domains) == "small", -5.0, 0.0) + rng.normal(size=n),
        }
    )


@pytest.mark.parametrize("strategy", ["linear", "cutoff", "random", "stratified"])
def test_only_chosen_sources_are_pruned_by_the_share(strategy: str) -> None:
    table = scored()
    kept = choose(table, by="vog", prune=0.5, strategy=strategy, sources=["historical"], floor=0)
    mix = {row["value"]: row for row in removed_by(table, kept, "source").to_dicts()}
    assert mix["synthetic"]["removed"] == 0
    assert mix["historical"]["kept"] == 150


def test_small_domains_keep_their_floor_and_new_rows_are_protected() -> None:
    table = scored()
    bare = choose(table, by="vog", prune=0.6, strategy="cutoff", floor=0)
    assert removed_by(table, bare, "domain").filter(value="small")["kept"].item() == 0
    kept = choose(table, by="vog", prune=0.6, strategy="cutoff", floor=20, protect=["id=r1"])
    assert removed_by(table, kept, "domain").filter(value="small")["kept"].item() == 15
    assert kept.filter(id="r1")["kept"].item() and kept["kept"].sum() == 160
    with pytest.raises(UserError, match="no rows of source 'live'"):
        choose(table, by="vog", prune=0.5, sources=["live"])


def test_the_linear_sampler_keeps_hard_rows_more_often() -> None:
    table = scored().filter(domain="big")
    draws = [choose(table, by="vog", prune=0.5, floor=0, seed=seed)["kept"].to_numpy() for seed in range(30)]
    often = np.mean(draws, axis=0)
    order = table["vog"].to_numpy().argsort()
    assert often[order[:100]].mean() < often[order[-100:]].mean() - 0.2


def test_mixing_in_a_second_score_keeps_the_rows_that_it_finds_varied() -> None:
    table = scored().filter(domain="big")
    varied = np.arange(table.height) % 2 == 0
    table = table.with_columns(trail_entropy=pl.Series(varied.astype(float)))

    def share(by: tuple[str, ...], strategy: str) -> float:
        draws = [
            choose(table, by=by, prune=0.5, strategy=strategy, floor=0, seed=seed)["kept"].to_numpy()
            for seed in range(20)
        ]
        return float(np.mean(draws, axis=0)[varied].mean())

    assert share(("vog", "trail_entropy"), "mixed") > share(("vog",), "linear") + 0.1


def test_synthetic_rows_are_new_and_every_value_is_one_of_its_label() -> None:
    rows = toy_rows(3).filter(domain="music").with_columns(source=pl.lit(""))
    rows = pl.concat([rows, toy_rows(1).filter(domain="home")])
    rows = rows.with_columns(
        text=pl.when(pl.col("id") == rows["id"][0]).then(pl.lit("play some music")).otherwise("text")
    )
    with pytest.raises(UserError, match="only 0 of 5"):
        swapped(toy_rows(1), 5)  # every combination stands there already
    from thresher.nlu.rows import Slot, Utterance, as_table

    base = as_table(
        [Utterance(f"{verb} {what} now", "m", "p", (Slot(len(verb) + 1, len(verb) + 1 + len(what), "what"),))
         for verb, what in (("play", "jazz"), ("spin", "rock music"), ("start", "blues"))]
    )  # fmt: skip
    made = swapped(base, 6, seed=3)
    assert made.equals(swapped(base, 6, seed=3)) and not made.equals(swapped(base, 6, seed=4))
    values = {row.text[slot.start : slot.end] for row in utterances(made) for slot in row.slots}
    assert values <= {"jazz", "rock music", "blues"} and set(made["source"]) == {"synthetic"}
    assert not set(made["text"]) & set(base["text"]) and made["text"].n_unique() == 6
    tests = {text.upper() for text in made["text"][:2]}
    assert not {text.upper() for text in swapped(base, 4, seed=3, but=tests)["text"]} & tests


def with_leaf(
    model: JointModel, batch: dict[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """A forward whose embedding output is a leaf."""
    caught: list[torch.Tensor] = []

    def cut(module: torch.nn.Module, given: object, output: torch.Tensor) -> torch.Tensor:
        caught.append(output.detach().requires_grad_())
        return caught[0]

    hook = embedding_layer(model.encoder).register_forward_hook(cut)
    output = model(**batch)
    hook.remove()
    return output, caught[0]


def test_scores_of_the_joint_model_from_the_formulas(tmp_path: Path) -> None:
    """Two checkpoints, every gradient by plain autograd, one row at a time."""
    rows = toy_rows(1).filter(domain="home")
    model, _, encoded, targets, _ = joint_parts(rows, labels_of(rows), "home", toy_config(tmp_path))
    torch.manual_seed(1)

    def moved(value: torch.Tensor) -> torch.Tensor:
        return value + 0.05 * torch.randn_like(value) if value.is_floating_point() else value

    weights = [{name: moved(value) for name, value in model.state_dict().items()} for _ in range(2)]
    found = dict(zip(module.NAMES, measure(model, weights, encoded.tokens, targets, 1), strict=True))
    model.eval()
    for row in range(rows.height):
        batch = pad_batch(encoded.tokens, [row])
        intent, tags = int(targets[row, 0]), targets[row, 1:][encoded.first[row]]
        gradients: dict[str, list[torch.Tensor]] = {"intent": [], "slots": []}
        for state in weights:
            model.load_state_dict(state)
            output, embedded = with_leaf(model, batch)
            logits = output["tags"][0, encoded.first[row]]
            both = {
                "intent": output["intent"][0, intent],
                "slots": sum(logits[at, tag] for at, tag in enumerate(tags)),
            }
            for name, value in both.items():
                gradients[name].append(torch.autograd.grad(value, embedded, retain_graph=True)[0].double())
        for name, own in gradients.items():
            expected = torch.stack(own).var(0, correction=0).sum()
            assert found[f"vog_{name}"][row] == pytest.approx(float(expected), rel=1e-3)
        wrong = torch.softmax(output["intent"][0], 0) - torch.nn.functional.one_hot(torch.tensor(intent), 2)
        assert found["el2n_intent"][row] == pytest.approx(float(wrong.norm()), rel=1e-4)
        words = torch.softmax(logits, 1) - torch.nn.functional.one_hot(
            torch.from_numpy(tags), logits.shape[1]
        )
        assert found["el2n_slots"][row] == pytest.approx(float(words.norm(dim=1).mean()), rel=1e-4)


def test_joint_scores_of_all_rows_do_not_depend_on_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = toy_rows(1)
    config = toy_config(tmp_path, **{"joint.max_steps": 4, "joint.checkpoints": 2})
    one = joint_scores(rows, config, workers=1)
    monkeypatch.setattr(module, "BATCH_TOKENS", 1)
    other = joint_scores(rows, config, workers=1)
    assert one["id"].to_list() == rows["id"].to_list()
    assert np.allclose(one.drop("id").to_numpy(), other.drop("id").to_numpy(), rtol=1e-4, atol=1e-7)
    weather = one.filter(rows["domain"] == "weather")
    assert (weather.drop("id").to_numpy() == 0).all() and (
        one.filter(rows["domain"] == "home")["vog_slots"] > 0
    ).all()


@pytest.mark.parametrize("prune", [1.3, 1, 0, -1, float("nan")])
def test_a_share_outside_its_range_is_refused_before_it_is_scaled(prune: float) -> None:
    table = pl.DataFrame(
        {"id": list("abc"), "domain": "x", "source": ["old", "new", "new"], "vog": [1, 2, 3]}
    )
    with pytest.raises(UserError, match=f"prune is {prune:g}; it must lie between 0 and 1"):
        choose(table, by="vog", prune=prune, sources=["old"], floor=0)
