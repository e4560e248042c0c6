"""Questions about single rows of a run: which explain a prediction, which are mislabelled, where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from thresher.run import Run, RunLike
from thresher.run.integrity import read_table
from thresher.run.outputs import as_place
from thresher.signature import public


@public
def explain(
    run: RunLike,
    *,
    test_rows: str | Sequence[str] = (),
    rows: str | Sequence[str] = (),
    text: str | Sequence[str] | None = None,
    label: str | None = None,
    top: int = 10,
    layer: str = "encoder",
    workers: int | None = None,
) -> pl.DataFrame:
    """The training rows that lowered the loss of some rows most (proponents), and those that raised it most (opponents).

        TracIn(z, z') = sum over checkpoints c of  lr_c * < d loss(z) / d w at c, d loss(z') / d w at c >        nats

    with w all parameters of the last encoder layer or of the last classifier layer, and lr_c its learning rate: how much the
    steps that training took on row z' lowered the loss of row z, to first order.

    Parameters
    ----------
    run
        a run folder with a trained model; of several trainings the first one is used.
    test_rows
        ids of test rows; one, a list or a column of them.
    rows
        ids of training rows; none is listed for itself.
    text, label
        a text that is not in the rows (two for pairs), and the class to explain.
    top
        rows to list on each side, 10 by default.
    layer
        "encoder" (the default) or "classifier".
    workers
        processes; by default what the run was measured with, else one per core.

    Returns
    -------
    a table with the columns of ("test", "train" or "text"), target, target_label, target_text, side, rank, value, id, label,
    text (for pairs also target_text_2 and text_2): for every target first its proponents from the largest value down, then
    its opponents from the smallest up. A side has fewer rows if fewer have a value of its sign.

    Raises
    ------
    UserError
        an unknown id or class, nothing to explain, no checkpoints, or a layer without a gradient rule.

    Source: Pruthi et al. (2020), "Estimating training data influence by tracing gradient descent", NeurIPS, section 3.
    """
    from thresher.experiments.explain import as_table, explanations

    found = explanations(
        Run.open(run),
        test_rows=test_rows,
        rows=rows,
        text=text,
        label=label,
        top=top,
        layer=layer,
        workers=workers,
    )
    return as_table(found)


@public
def tokens(run: RunLike, rows: str | Sequence[str]) -> pl.DataFrame:
    """The loss of each completion token of some rows, with the prompt and without it, at the last checkpoint.

        loss = -log p(y_t | prompt, y_<t),   loss_alone = -log p(y_t | y_<t)        nats

    A token with a high loss is one that the model did not expect; where loss is above loss_alone, the prompt speaks against it.

    Parameters
    ----------
    run
        a measured run on rows with a prompt and a completion.
    rows
        ids of training rows; one, a list or a column of them.

    Returns
    -------
    a line per token, row after row: id, place (from 1), token (the piece of the completion; empty for the end token), loss,
    loss_alone.

    Raises
    ------
    UserError
        an unknown id, no row, rows with labels, or a recorded run, which has no losses of tokens.
    """
    from thresher.experiments.tokens import tokens_of

    return tokens_of(Run.open(run), rows)


@public
def suspects(
    run: RunLike,
    *,
    out: str | Path | None = None,
    by: str = "auto",
    top: int | None = None,
    format: str = "table",
) -> pl.DataFrame:
    """List rows whose most probable label is not the one they have, the most suspicious first, and write them to `out`.

    `by` is the score whose hard end comes first; "auto": the mean of the ranks by `aum` and `word_margin` where the run has the
    word margin, else `aum`. The list is as long as an estimate of the number of wrong labels makes it best (largest expected
    F1); `top` is the most rows to list instead. A line tells how many of them are expected to be wrong. Where the model has
    learned too little to tell, that is said first, and the list holds the hardest 5% at most.

    `format`: "table" (csv, jsonl or parquet by the ending of `out`) with `rank`, `id`, the texts, `given`, `likely`,
    their probabilities `p_given` and `p_likely`, the chance `p_wrong` that the label is wrong (null where the model has learned
    too little), `score` and `why`; "argilla" (jsonl), one record of Argilla 2 per line, for `rg.Record.from_dict`; "datalab"
    (npz or parquet): `id`, `label` and `pred_probs` of ALL rows, for cleanlab's Datalab.

    `p_given` and `p_likely` are the model's own, averaged over checkpoints and runs, on the rows that it was trained on.
    `p_wrong` is estimated from folds that left the row out, where there are any, else from the checkpoint nearest to epoch 2.

    Of a recorded language model the list holds the rows whose completion does not fit its prompt, as far as the model knows: the
    hardest 5% by `loss`, or `top` rows, with `loss`, `entropy`, `token_accuracy`, `score` and `why`; as a table only.

    Returns the list, with the texts.

    Raises
    ------
    UserError
        nothing was scored yet, a run without the logits of every row (a recorded token classifier), an unknown score or
        format, a file extension that the format does not have, or a file that cannot be written.
    """
    from thresher.experiments.suspects import suspects as list_suspects

    return list_suspects(Run.open(run), None if out is None else as_place(out), by, top, format)


@public
def map_rows(run: RunLike, *, rows: int = 3000, seed: int = 0, force: bool = False) -> pl.DataFrame:
    """Map up to `rows` rows, drawn with `seed`, to the plane by t-SNE of the pretrained encoder's vectors.

    The vectors are means over tokens from the run's encoder before fine-tuning; those of a pair of texts are concatenated. The
    report shows the map before and after the hard end is dropped.

    Returns
    -------
    a frame with `id`, `x`, `y`, in the order of the rows.

    Raises
    ------
    UserError
        not a trained run, too few rows for a map, or a seed below 0 or of more than 32 bits.
    """
    from thresher.experiments.map import MapSettings
    from thresher.experiments.map import map_rows as step_of

    opened = Run.open(run)
    step_of(opened, MapSettings(rows=rows, seed=seed), force=force)
    return read_table(opened.map_file, f"`thresher map {opened}` draws it again")
