"""Every signal written straight from its formula: one row at a time, unpadded, plain autograd with weight gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from thresher.models.classifier import Classifier
from thresher.models.tokens import Tokens


def inputs_of(tokens: Tokens, row: int) -> dict[str, torch.Tensor]:
    ids = torch.tensor(tokens.ids[row])[None]
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if tokens.types is not None:
        given["token_type_ids"] = torch.tensor(tokens.types[row])[None]
    return given


def embedding_of(model: Classifier) -> nn.Module:
    encoder = model.encoder
    return encoder.embeddings if hasattr(encoder, "embeddings") else encoder.get_input_embeddings()


def last_layer_of(model: Classifier) -> nn.Module:
    encoder = model.encoder
    for path in ("encoder.layer", "transformer.layer", "layers", "h"):
        part = encoder
        for name in path.split("."):
            part = getattr(part, name, None)
        if part is not None:
            return part[-1]
    raise AssertionError(type(encoder))


def row_signals(
    model: Classifier, checkpoints: list[dict], tokens: Tokens, label: int, row: int
) -> dict[str, np.ndarray]:
    """What `measure_tokens` gives for one row."""
    gradients, logits, encoder_norms, head_norms = [], [], [], []
    for weights in checkpoints:
        model.load_state_dict(weights)
        model.requires_grad_(True)
        kept = []
        handle = embedding_of(model).register_forward_hook(
            lambda module, given, output, kept=kept: kept.append(output)
        )
        output = model(**inputs_of(tokens, row)).logits[0]
        handle.remove()
        gradients.append(torch.autograd.grad(output[label], kept[0], retain_graph=True)[0][0].double())
        loss = -torch.log_softmax(output, 0)[label]
        for layer, norms in ((last_layer_of(model), encoder_norms), (model.head[-1], head_norms)):
            found = torch.autograd.grad(loss, list(layer.parameters()), retain_graph=True)
            norms.append(sum(gradient.double().pow(2).sum().item() for gradient in found))
        logits.append(output.detach().numpy())
    stacked = torch.stack(gradients)  # (C, T, H)
    count = len(checkpoints)
    gram = [[(stacked[a] * stacked[b]).sum().item() for b in range(count)] for a in range(count)]
    windows = (range(count), range(count // 2), range(count // 2, count))
    stds = [sum(np.std(stacked[list(window)].numpy(), axis=0).ravel()) for window in windows]
    return {
        "logits": np.array(logits),
        "gradient_gram": np.array(gram),
        "gradient_std": np.array(stds),
        "encoder_sq_norm": np.array(encoder_norms),
        "classifier_sq_norm": np.array(head_norms),
        "variance": stacked.numpy().var(0).sum(),
    }


def row_gradient(model: Classifier, layer: nn.Module, tokens: Tokens, label: int, row: int) -> torch.Tensor:
    """The gradient of one row's loss by all parameters of a layer, as one vector in float64."""
    model.requires_grad_(True)
    loss = -torch.log_softmax(model(**inputs_of(tokens, row)).logits[0], 0)[label]
    found = torch.autograd.grad(loss, list(layer.parameters()))
    return torch.cat([gradient.double().flatten() for gradient in found])


def pair_products(
    model: Classifier,
    checkpoints: list[dict],
    rates: list[float],
    layer: str,
    tokens: Tokens,
    labels: np.ndarray,
) -> np.ndarray:
    """TracIn of every row with every row, one pair at a time."""
    count = len(labels)
    values = np.zeros((count, count))
    for weights, rate in zip(checkpoints, rates, strict=True):
        model.load_state_dict(weights)
        where = last_layer_of(model) if layer == "encoder" else model.head[-1]
        rows = [row_gradient(model, where, tokens, int(labels[row]), row) for row in range(count)]
        for i in range(count):
            for j in range(count):
                values[i, j] += rate * (rows[i] @ rows[j]).item()
    return values
