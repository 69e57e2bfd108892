"""Slow, plain twins of `cnndp`: numpy in float64, or loops over batches of one. They share no code with it."""

import math

import numpy as np
import torch


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def one_hot(labels, num_classes):
    return np.eye(num_classes)[labels]


def cross_entropy(logits, labels):
    return -np.log(softmax(logits)[np.arange(len(labels)), labels])


def brier(logits, labels):
    return 0.5 * ((one_hot(labels, logits.shape[1]) - softmax(logits)) ** 2).sum(axis=1)


def gradients_one_by_one(model, inputs, labels, loss):
    """Return `[B]` losses and `[B, P]` gradients, by one ordinary backward pass for each example."""
    losses, rows = [], []
    for image, label in zip(inputs, labels, strict=True):
        model.zero_grad()
        value = loss(model(image[None]), label[None]).sum()
        value.backward()
        rows.append(torch.cat([p.grad.flatten() for p in model.parameters()]).clone())
        losses.append(value.detach())
    model.zero_grad()
    return torch.stack(losses), torch.stack(rows)


def clip_layer_by_layer(row, sizes, clip_norm):
    """Return one gradient clipped wrongly: each layer on its own."""
    parts = np.split(row, np.cumsum(sizes)[:-1])
    return np.concatenate([part * min(1.0, clip_norm / np.linalg.norm(part)) for part in parts])


class LogisticRegression:
    """Softmax regression with its gradient written out, trained by the Polyak step with adaptive noise."""

    def __init__(self, weight, bias):
        self.weight, self.bias = weight.copy(), bias.copy()
        self.velocity = np.zeros(weight.size + bias.size)

    def step(
        self, x, labels, t, unit_noise, *, total, num_steps, growth, max_step, debias, l2_coefficient=0.0, momentum=0.0
    ):
        """Take one step of Eq. (4), (9), (6) with a cap, (11); return loss, step size and slack."""
        size, params = len(x), self.velocity.size
        first = 2 * total / (num_steps * (1 + growth))
        epsilon = first * (1 + (growth - 1) * (t - 1) / (num_steps - 1))
        scale = 0.5 / epsilon
        logits = x @ self.weight.T + self.bias
        loss = cross_entropy(logits, labels).mean()
        residual = softmax(logits) - one_hot(labels, len(self.bias))
        total_gradient = np.concatenate([(residual.T @ x).ravel(), residual.sum(axis=0)])
        gradient = (total_gradient + scale * unit_noise) / size
        squared_norm = (gradient**2).sum()
        if debias:
            squared_norm = max(squared_norm - params * 2 * scale**2 / size**2, 1e-3)
        alpha = loss / squared_norm
        slack = None
        if max_step is not None:
            alpha, slack = min(max_step, alpha), max(loss - max_step * squared_norm, 0.0)
        flat = np.concatenate([self.weight.ravel(), self.bias])
        self.velocity = momentum * self.velocity + gradient + l2_coefficient / size * flat
        flat = flat - alpha * self.velocity
        self.weight, self.bias = flat[: self.weight.size].reshape(self.weight.shape), flat[self.weight.size :]
        return loss, alpha, slack


def zcdp_sigma(epsilon, num_steps, clip_norm, delta=1e-5):
    """Return the noise for which `num_steps` Gaussian releases together are (epsilon, delta)-DP, by bisection."""
    low, high = 0.0, epsilon
    for _ in range(200):
        rho = (low + high) / 2
        low, high = (rho, high) if rho + 2 * math.sqrt(rho * math.log(1 / delta)) < epsilon else (low, rho)
    return clip_norm / math.sqrt(2 * low / num_steps)
