"""Put the weights of a checkpoint into a model without a copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from thresher.errors import UserError


def swap_to(model: nn.Module, tensors: Mapping[str, Tensor]) -> Callable[[], None]:
    """A function that points parameters of a model, by name, at these tensors; the others stay. Nothing is copied.

    Of a model with adapters, those of the adapters are enough. Call it for the weights of every checkpoint before the first of
    the functions is called.

    Raises UserError: a name that is no parameter of the model, or a tensor of another shape or precision.
    """
    parameters = dict(model.named_parameters())
    chosen = []
    for name, tensor in tensors.items():
        if name not in parameters:
            raise UserError(f"checkpoint: '{name}' is not a parameter of {type(model).__name__}")
        parameter = parameters[name]
        if tensor.shape != parameter.shape or tensor.dtype != parameter.dtype:
            raise UserError(
                f"checkpoint: '{name}' is {tuple(tensor.shape)} {tensor.dtype}, the model has {tuple(parameter.shape)}"
                f" {parameter.dtype}"
            )
        chosen.append((parameter, tensor.to(parameter.device)))

    def put() -> None:
        for parameter, tensor in chosen:
            parameter.data = tensor

    return put
