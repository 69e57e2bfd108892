"""The private reading of P1's figures as data: the methods made valid, at numerical epsilons, each with a tuned rate.

At equal epsilon CDP is DP-SGD, and CNN-DP with Gaussian noise is DP-SGD as well: one run stands for all three.
CIFAR-10's network takes about two seconds a step on one core, so the profile "reduced" tunes one method for each of
`LIKE` and leaves the smaller epsilon of Figs. 7 and 8 out.
"""

from functools import cache
from typing import Any

from cnndp.papers import tuned as tuning
from cnndp.papers.presets import preset
from cnndp.papers.sections.entries import Entry, Facts, named, spending, target_name, with_rate
from cnndp.papers.sections.p1 import FEW_BUDGETS, NUM_TRAIN
from cnndp.papers.sections.p2 import p2_training
from cnndp.privacy.accounting import laplace_epsilon
from cnndp.training.config import Config

SIZES = {**NUM_TRAIN, "digits": 1_437}  # a file of yours counts as MNIST, so twins differ a little there
GAUSSIAN = {"mechanism": "gaussian"}
# By label: the preset, what is changed, and the grid of rates (caps, for a Polyak step), each about 3 times the last.
ROWS: dict[str, tuple[str, dict[str, Any], tuple[float, ...]]] = {
    "DP-SGD": ("dp_sgd", {}, (0.3, 1.0, 3.0, 10.0, 30.0)),
    "DPGDM": ("dpgdm", {}, (0.03, 0.1, 0.3, 1.0, 3.0)),
    "CNN-DP-GAN, Gaussian": ("cnn_dp_gan", GAUSSIAN, (0.3, 1.0, 3.0, 10.0, 30.0)),
    "CNN-DP-GAN-Polyak, Gaussian": ("cnn_dp_gan_polyak", GAUSSIAN, (0.3, 1.0, 3.0, 10.0, 30.0)),
    "CNN-DP": ("cnn_dp", {}, (0.01, 0.03, 0.1, 0.3, 1.0)),
    "CNN-DP-GAN": ("cnn_dp_gan", {}, (0.01, 0.03, 0.1, 0.3, 1.0)),
    "CNN-DP-GAN-Polyak": ("cnn_dp_gan_polyak", {}, (0.01, 0.03, 0.1, 0.3, 1.0)),
}
IN_FIG09 = ("DP-SGD", "DPGDM", "CNN-DP-GAN, Gaussian", "CNN-DP-GAN-Polyak, Gaussian", "CNN-DP-GAN-Polyak")
CAP_FACTORS = (0.1, 1.0, 10.0)
EPSILONS = (1.0, 8.0)  # of Figs. 7 and 8
TARGETS = (*EPSILONS, None)  # at which rates are tuned; None is Table II's total
FEW_TARGETS = (EPSILONS[-1], None)
# Same noise, same clip: on both grey datasets these chose alike at every target, so CIFAR-10 has one tuned for all.
LIKE = {
    "CNN-DP-GAN, Gaussian": "DP-SGD",
    "CNN-DP-GAN-Polyak, Gaussian": "DP-SGD",
    "CNN-DP-GAN": "CNN-DP",
    "CNN-DP-GAN-Polyak": "CNN-DP",
}
FEW_ROWS = tuple(label for label in ROWS if label not in LIKE)


def run(label: str, dataset: str, num_steps: int, epsilon: float | None, rate: float, **changes: Any) -> Config:
    """Return one private run; `epsilon=None` spends Table II's total."""
    method, own, _ = ROWS[label]
    target = {} if epsilon is None else {"target_epsilon": epsilon}
    return with_rate(preset(method, "private", dataset, num_steps, **own, **target, **changes), rate)


def private_tuning(
    dataset: str,
    num_steps: int,
    targets: tuple[float | None, ...] = TARGETS,
    labels: tuple[str, ...] = tuple(ROWS),
) -> list[Entry]:
    """Every method and target with every rate of its grid, on the validation part."""
    return [
        spending(label, run(label, dataset, num_steps, epsilon, rate, split="8:2 validation"), epsilon)
        for epsilon in targets
        for label in labels
        for rate in ROWS[label][2]
    ]


def tuned(label: str, dataset: str, num_steps: int, epsilon: float | None) -> Config:
    """Return one private run with the rate that tuning chose; an untuned dataset takes MNIST's.

    A method or epsilon that was not tuned on a dataset takes the rate of the method `LIKE` it, and that at epsilon 8.
    """
    like = LIKE.get(label, label)
    known = ((label, epsilon), (like, epsilon), (like, EPSILONS[-1]))
    rates = (tuning.rate("private_tuning", dataset, name, target=target_name(target)) for name, target in known)
    return run(label, dataset, num_steps, epsilon, next((rate for rate in rates if rate), ROWS[label][2][2]))


def private_fig07_08(dataset: str, num_steps: int, targets: tuple[float, ...] = EPSILONS) -> list[Entry]:
    """Figs. 7 and 8 under the private reading: every method at every epsilon, and the network without noise."""
    return [
        Entry("noise-free", preset("cnn", "reconstructed", dataset, num_steps)),
        *(spending(name, tuned(name, dataset, num_steps, epsilon), epsilon) for epsilon in targets for name in ROWS),
    ]


def private_fig09(dataset: str, num_steps: int) -> list[Entry]:
    """Fig. 9 under the private reading: Table II's totals spent as numerical epsilon."""
    return [
        Entry("noise-free", preset("cnn", "reconstructed", dataset, num_steps)),
        *(spending(name, tuned(name, dataset, num_steps, None), None) for name in IN_FIG09),
    ]


def private_fig10(
    dataset: str,
    num_steps: int,
    budgets: tuple[float, ...] = FEW_BUDGETS,
    cap_factors: tuple[float, ...] = CAP_FACTORS,
) -> list[Entry]:
    """Fig. 10 under the private reading: a budget for each step, its exact total, and the cap as a threshold.

    With Laplace noise the budget of a step is epsilon_t, so the noise multiplier is 1 / epsilon_t; the Gaussian twin
    spends the same exact total. Caps are multiples of the tuned one.
    """
    runs = [Entry("noise-free", preset("cnn", "reconstructed", dataset, num_steps))]
    for budget in budgets:
        for label in ("CNN-DP-GAN-Polyak", "CNN-DP-GAN-Polyak, Gaussian"):
            base = tuned(label, dataset, num_steps, EPSILONS[-1])
            sampling_prob = base.batch_size / SIZES.get(dataset, SIZES["mnist"])
            noise: dict[str, float | None] = (
                {"noise_multiplier": 1 / budget, "target_epsilon": None}
                if base.mechanism == "laplace"
                else {"target_epsilon": exact_total(budget, num_steps, sampling_prob)}
            )
            cap = base.max_step or 1.0
            for factor in cap_factors:
                config = with_rate(base.replace(growth=1.0, **noise), float(f"{factor * cap:.2g}"))
                runs.append(Entry(label, config, Facts(budget=budget, cap_factor=factor)))
    return runs


@cache
def exact_total(budget: float, num_steps: int, sampling_prob: float) -> float:
    """Return the numerical epsilon of so many steps of Laplace noise, to four digits: a second or so each."""
    return float(f"{laplace_epsilon([(budget, num_steps)], sampling_prob):.4g}")


def private_p2(dataset: str, num_steps: int) -> list[Entry]:
    """P2's Table 3 under the private reading: the same noise on Poisson batches, which its accountant assumes."""
    plain = named(p2_training(dataset, num_steps))["DP-SGD"].config
    return [Entry("DP-SGD", plain.replace(reading="private", sampling="poisson"))]
