"""The text classification script of transformers with one more line, which records the scores of every row.

    python examples/text_classification.py train.csv --model distilbert-base-uncased --out RUN

It follows the guide "Text classification" of transformers (https://huggingface.co/docs/transformers/tasks/sequence_classification):
a CSV or JSON-lines file with the columns `text` and `label`, a tokenizer, a model, a Trainer. The line marked below is added.
After training the script prints the hardest rows and keeps the harder half as a dataset.
"""

import argparse

import polars as pl
from datasets import load_dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

import thresher as th

parser = argparse.ArgumentParser()
parser.add_argument("file")
parser.add_argument("--model", default="distilbert/distilbert-base-uncased")
parser.add_argument("--epochs", type=float, default=3)
parser.add_argument("--out", default="watched-run")
given = parser.parse_args()

# Load the data.
kind = "csv" if given.file.endswith(".csv") else "json"
dataset = load_dataset(kind, data_files=given.file, split="train").class_encode_column("label")
names = dataset.features["label"].names

# Preprocess.
tokenizer = AutoTokenizer.from_pretrained(given.model)
tokenized = dataset.map(lambda rows: tokenizer(rows["text"], truncation=True), batched=True)

# Train.
model = AutoModelForSequenceClassification.from_pretrained(
    given.model,
    num_labels=len(names),
    id2label=dict(enumerate(names)),
    label2id={name: index for index, name in enumerate(names)},
)
trainer = Trainer(
    model=model,
    args=TrainingArguments(
        output_dir="my_model",
        learning_rate=2e-5,
        per_device_train_batch_size=16,
        num_train_epochs=given.epochs,
        weight_decay=0.01,
        save_strategy="no",
        report_to="none",
    ),
    train_dataset=tokenized,
    processing_class=tokenizer,
    data_collator=DataCollatorWithPadding(tokenizer=tokenizer),
)
run = th.watch(trainer, out=given.out)  # <- the line
trainer.train()

# The scores are in the order of the dataset.
scores = th.score(run).with_columns(text=pl.Series(dataset["text"]))
print(
    scores.sort("el2n", descending=True)
    .select("id", "label", "el2n", "forgetting", "vog_online", "text")
    .head(5)
)

# The harder half, as a dataset to train on again; without an id column in the dataset, ids are row numbers.
kept = th.select(run, prune=0.5, by="el2n").filter("kept")
harder = dataset.select(kept["id"].cast(pl.Int64))
print(harder)
