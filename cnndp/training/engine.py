"""The fast engine: a clipped sum of gradients for little more than the price of an ordinary gradient.

For a chain of layers (`nn.Sequential` of convolutions, linear layers and layers without parameters) the
gradient of example i with respect to one weight is a product of two matrices that an ordinary forward and
backward pass computes anyway:

    G_i = E_i^T U_i,    E_i [T, p],  U_i [T, D]                                                       (*)

T is the number of output positions (1 for a linear layer behind `Flatten`) and p the number of output
channels. Row t of U_i is what position t reads: for a convolution the window of its input, D = C * kh * kw
numbers, for a linear layer its whole input. Row t of E_i is the derivative of the example's own loss by the
output at t. Examples do not meet anywhere, so one backward pass of the *summed* loss gives E_i for all of
them. A bias sees a constant input of 1, so its gradient is the column sum of E_i.

What is wanted is sum_i c_i g_i, where g_i joins the gradients of all layers and c_i = min(1, C / ||g_i||). So
each layer first gives its share of the norms, in the cheapest of three ways, and then its weighted sum:

- T = 1: G_i is an outer product, whose norm is the norm of E_i times that of U_i, in L1 and L2 alike.
- L2 and 2 T^2 < p D: ||G_i||^2 = tr(U_i^T E_i E_i^T U_i) = sum over s, t of (E_i E_i^T)_st (U_i U_i^T)_st, from two
  [T, T] Gram matrices, which are smaller than G_i.
- otherwise G_i itself is made and kept, and the weighted sum is a matrix-vector product.

In the first two cases no gradient of a single example ever exists: sum_i c_i E_i^T U_i is an ordinary weight
gradient, with each example's rows of E multiplied by c_i. The Gram matrices need U_i only for a moment, so it
is made for a few examples at a time.

Sources: arXiv 1510.01799 (T = 1), 2009.03106 (convolutions), 2205.10683 (the rule 2 T^2 < p D).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.grad import conv2d_weight

from cnndp.training.gradients import Loss, channels_last, losses_of, network_precision, unflatten

# Layers without parameters that treat every example on its own.
POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Identity)
ACTIVATIONS = (nn.Tanh, nn.ReLU, nn.Sigmoid, nn.GELU, nn.ELU, nn.SiLU, nn.Softplus, nn.LeakyReLU)
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
SLICE = 2**19  # numbers of U made at once: 2 MiB, what a core's cache holds
LARGEST_INPUT = 1e12  # norm of what a layer reads; beyond it, an error that underflows could hide a gradient
Factors = Callable[[Tensor], Tensor]  # norms [B] -> c [B]
Named = tuple[str, Any]  # a layer with its full name


class Share(NamedTuple):
    """What one weight adds to each example's norm, and its weighted sum once the factors are known."""

    power: Tensor  # [B], ||G_i||_1 for L1, ||G_i||_2^2 for L2
    weighted: Callable[[Tensor, Tensor], Tensor]  # c [B], finite [B] -> sum_i c_i G_i, in the weight's shape


def why_not(model: nn.Module) -> str | None:
    """Return why `model` needs the general engine, or None when the fast one computes the same.

    >>> why_not(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 2)))
    >>> why_not(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)))
    "layer '1' is LayerNorm((2,), eps=1e-05, elementwise_affine=True, bias=True)"
    """
    if type(model) is not nn.Sequential:
        return f"the model is a {type(model).__name__}, not an nn.Sequential"
    layers = chain(model)
    for name, layer in layers:
        if not known(layer):
            return f"layer {name!r} is {layer}"
    for name, module in model.named_modules():
        if "forward" in vars(module) or any(getattr(module, hooks) for hooks in HOOKS):
            return f"{f'layer {name!r}' if name else 'the model'} has hooks, or a forward of its own"
    if sum(len(list(layer.parameters())) for _, layer in layers) != len(list(model.parameters())):
        return "two layers share a parameter"
    return None


def known(layer: nn.Module) -> bool:
    """Return whether equation (*) holds for a layer with parameters, and whether one without keeps examples apart."""
    if type(layer) is nn.Conv2d:
        plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return plain and layer.groups == 1 and layer.dilation == (1, 1)
    if type(layer) is nn.Flatten:
        return layer.start_dim == 1  # 0 would mix examples
    unusual = getattr(layer, "inplace", False) or getattr(layer, "return_indices", False)
    return type(layer) is nn.Linear or (type(layer) in (*POOLS, *ACTIVATIONS) and not unusual)


def chain(model: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    """Return the layers of nested `nn.Sequential` modules in the order of computation, with their full names."""
    if type(model) is not nn.Sequential:
        return [(prefix, model)]
    children = [(f"{prefix}.{name}" if prefix else name, child) for name, child in model._modules.items() if child]
    return [entry for name, child in children for entry in chain(child, name)]


def weighted_sum(
    model: nn.Module,
    vector: Tensor,
    inputs: Tensor,
    labels: Tensor,
    loss: Loss,
    *,
    order: int,
    factors: Factors,
    precision: str = "float32",
) -> tuple[Tensor, Tensor]:
    """Return the losses `[B]` and the sum of c_i g_i over the batch, `[P]`, with c = `factors(norms)`.

    Args:
        model: a chain of layers for which `why_not` returns None.
        vector: its parameters, `[P]`.
        inputs, labels: `[B, C, H, W]` and `[B]`, with at least one example.
        loss: `(logits, labels) -> [B]`.
        order: 1 or 2, the norm over all parameters jointly.
        factors: norms `[B]` to c `[B]`. An example whose norm is not finite, or whose input to a layer has a norm
            above 1e12, counts as zero whatever it says.
        precision: of the network's passes; everything after them is in the type of `vector`.
    """
    losses, layers, seen, errors = backward(model, vector, inputs, labels, loss, precision)
    with network_precision("float32", vector.device):
        return losses, sum_of(model, layers, seen, errors, order, factors)


def sum_of(
    model: nn.Module, layers: list[Named], seen: list[Tensor], errors: list[Tensor], order: int, factors: Factors
) -> Tensor:
    """Return the weighted sum `[P]`: first every layer's share of the norms, then the factors, then the sums."""
    shares, biases, power = {}, {}, errors[0].new_zeros(len(errors[0]))
    for (name, layer), image, error in zip(layers, seen, errors, strict=True):
        shares[name] = share(layer, image, error, order)
        power += shares[name].power
        if layer.bias is not None:
            biases[name] = positions(layer, error).sum(dim=1)  # [B, p]
            power += norm_of(biases[name], order) ** order
    norms = power if order == 1 else power.sqrt()
    finite = norms.isfinite()
    c = torch.where(finite, factors(norms), 0.0)
    total = {f"{name}.weight": shares[name].weighted(c, finite) for name in shares}
    total |= {f"{name}.bias": c @ clean(biases[name], finite) for name in biases}
    return torch.cat([total[name].reshape(-1) for name, _ in model.named_parameters()])


def backward(
    model: nn.Module, vector: Tensor, inputs: Tensor, labels: Tensor, loss: Loss, precision: str
) -> tuple[Tensor, list[Named], list[Tensor], list[Tensor]]:
    """Return losses `[B]`, the layers with parameters, the input of each, and d losses / d output of each.

    The parameters ask for no gradient, so autograd computes derivatives by the layers' outputs only: neither
    the weight gradients nor the derivative by the images.
    """
    parameters = unflatten(model, vector.detach())
    layers: list[Named] = []
    seen: list[Tensor] = []
    outputs: list[Tensor] = []
    hidden = channels_last(inputs)
    with torch.enable_grad(), network_precision(precision, vector.device):
        for name, layer in chain(model):
            own = {key: parameters[f"{name}.{key}"] for key, _ in layer.named_parameters()}
            if own:
                layers.append((name, layer))
                seen.append(hidden.detach().to(vector.dtype))
                hidden = functional_call(layer, own, (hidden,))
                outputs.append(hidden if outputs else hidden.requires_grad_())
            else:
                hidden = layer(hidden)
        losses = losses_of(hidden, labels, loss, vector.dtype)
        errors = torch.autograd.grad(losses.sum(), outputs)
    # A bfloat16 pass ends here: norms, clip and sum are in the type of the parameters.
    return losses.detach(), layers, seen, [error.to(vector.dtype) for error in errors]


def positions(layer: Any, error: Tensor) -> Tensor:
    """Return E `[B, T, p]` of equation (*) from the derivative by a layer's output."""
    error = error.movedim(1, -1) if isinstance(layer, nn.Conv2d) else error
    return error.reshape(len(error), -1, error.shape[-1])


def windows(layer: Any, image: Tensor) -> Tensor:
    """Return U `[B, T, D]` of equation (*): what each output position reads of the layer's input.

    With the channels innermost, the window of a convolution is kh runs of kw * C neighbouring numbers, which
    makes this copy several times faster than `nn.functional.unfold`.
    """
    if not isinstance(layer, nn.Conv2d):
        return image.reshape(len(image), -1, image.shape[-1])
    (kh, kw), (down, right) = layer.kernel_size, layer.stride
    top, left = map(int, layer.padding)
    image = nn.functional.pad(image, (left, left, top, top)).permute(0, 2, 3, 1).contiguous()
    examples, height, width, channels = image.shape
    rows, columns = (height - kh) // down + 1, (width - kw) // right + 1
    line = width * channels
    size = (examples, rows, columns, kh, kw * channels)
    strides = (height * line, down * line, right * channels, line, 1)
    return image.as_strided(size, strides).reshape(examples, rows * columns, kh * kw * channels)


def share(layer: Any, image: Tensor, error: Tensor, order: int) -> Share:
    """Choose how one weight's norms and weighted sum are computed: the three ways explained above."""
    E = positions(layer, error)
    T, p, D = E.shape[1], E.shape[2], layer.weight[0].numel()
    if T == 1:
        power = product_power(E, windows(layer, image), order)
    elif order == 2 and p * D > 2 * T * T:
        power = sliced(gram_power, layer, image, E)
    else:
        return materialised(layer, image, E, order)
    return Share(power, lambda c, finite: ordinary_gradient(layer, clean(image, finite), clean(error, finite), c))


def gram_power(E: Tensor, U: Tensor) -> Tensor:
    """Return ||E_i^T U_i||_2^2 of each example, `[B]`, from the Gram matrices over positions.

    Terms of both signs cancel in the sum, so its rounding error is relative to the traces, not to the norm. It
    is added on top, so that cancellation cannot hide a norm from the clip.
    """
    EE, UU = torch.bmm(E, E.transpose(1, 2)), torch.bmm(U, U.transpose(1, 2))
    rounding = 8 * torch.finfo(E.dtype).eps * product_power(E, U, 2)
    return (EE * UU).sum(dim=(1, 2)).clamp(min=0) + rounding


def ordinary_gradient(layer: Any, image: Tensor, error: Tensor, c: Tensor) -> Tensor:
    """Return sum_i c_i G_i as an ordinary weight gradient of weighted errors."""
    error = error * c.view(-1, *[1] * (error.ndim - 1))
    if isinstance(layer, nn.Conv2d):
        gradient: Tensor = conv2d_weight(image, layer.weight.shape, error, layer.stride, layer.padding)
        return gradient
    return error.flatten(0, -2).T @ image.flatten(0, -2)


def materialised(layer: Any, image: Tensor, E: Tensor, order: int) -> Share:
    """Make and keep G_i of every example: the only way to an L1 norm when T > 1."""
    G = sliced(lambda e, u: torch.bmm(e.transpose(1, 2), u), layer, image, E)  # [B, p, D]

    def weighted(c: Tensor, finite: Tensor) -> Tensor:
        total = (c @ clean(G, finite).flatten(1)).view(G.shape[1:])
        if isinstance(layer, nn.Conv2d):  # a window has its channels last, a weight has them first
            total = total.view(-1, *layer.kernel_size, layer.in_channels).permute(0, 3, 1, 2)
        return total

    return Share(norm_of(G, order) ** order, weighted)


def sliced(function: Callable[[Tensor, Tensor], Tensor], layer: Any, image: Tensor, E: Tensor) -> Tensor:
    """Return `function(E, U)` of all examples, on a CPU a few at a time, so that U stays in its cache."""
    size = SLICE // (E.shape[1] * layer.weight[0].numel()) if E.device.type == "cpu" else len(E)
    parts = zip(torch.split(E, max(1, size)), torch.split(image, max(1, size)), strict=True)
    return torch.cat([function(e, windows(layer, x)) for e, x in parts])


def norm_of(rows: Tensor, order: int) -> Tensor:
    """Return the norm of each example's numbers, `[B]`."""
    norms: Tensor = torch.linalg.vector_norm(rows.flatten(1), ord=order, dim=1)
    return norms


def product_power(E: Tensor, U: Tensor, order: int) -> Tensor:
    """Return (||E_i|| ||U_i||)^order, `[B]`, infinite where U_i is beyond `LARGEST_INPUT`."""
    error, read = norm_of(E, order), norm_of(U, order)
    return torch.where(read < LARGEST_INPUT, (error * read) ** order, torch.inf)


def clean(rows: Tensor, finite: Tensor) -> Tensor:
    """Return `rows` with zeros for examples that count as zero: 0 times infinity would not be 0."""
    if rows.device.type == "cpu" and bool(finite.all()):  # asking a GPU would make the host wait
        return rows
    return torch.where(finite.view(-1, *[1] * (rows.ndim - 1)), rows, 0.0)


def floats_per_example(model: nn.Module, image_shape: tuple[int, ...], order: int) -> int:
    """Return how many numbers `weighted_sum` keeps for each example at its peak, besides the slices of U.

    These are the image, the output of every layer with its derivative (a pooling layer also keeps 8-byte
    positions), and G_i where it is materialised. A batch of B float32 examples needs 4 B times as many bytes.

    Args:
        model: as in `weighted_sum`.
        image_shape: `(C, H, W)`.
        order: 1 or 2.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> floats_per_example(model, (1, 2, 2), order=2)  # 4 + 2 * (4 + 2)
    16
    """
    dtype = next(model.parameters()).dtype
    hidden, count = torch.zeros(1, *image_shape, device="meta", dtype=dtype), torch.Size(image_shape).numel()
    for _, layer in chain(model):
        parameters = {name: torch.empty_like(value, device="meta") for name, value in layer.named_parameters()}
        hidden = functional_call(layer, parameters, (hidden,))
        count += (4 if isinstance(layer, POOLS[:3]) else 2) * hidden.numel()
        if parameters:
            weight = parameters["weight"]
            T = hidden.numel() // len(weight)
            count += weight.numel() if T > 1 and not (order == 2 and weight.numel() > 2 * T * T) else 0
    return count
