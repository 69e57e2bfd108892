"""P1's experiments as data: which runs each figure has."""

from typing import Any

from cnndp.equations.budget import Budget, budget_for_scales, total_epsilon
from cnndp.papers.presets import MAX_STEP, preset, table_one
from cnndp.papers.sections.entries import Entry, Facts, named
from cnndp.training.config import Config

NOISE_FACTOR = 10  # Fig. 7's "noise environment": this many times Table I's scales, on the sum
NUM_TRAIN = {"mnist": 56_000, "fashion_mnist": 56_000, "cifar10": 48_000}  # of the 8:2 split
BASELINES = {"DPGDM": "dpgdm", "DP-SGD": "dp_sgd", "CDP": "cdp"}
THRESHOLDS = (0.01, 0.1, 1.0)  # panels (a), (b), (c) of Fig. 10
BUDGETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0)  # of one step; P1 names only the last
FEW_BUDGETS = (0.05, 0.5, 5.0)


def fig07_ablation(dataset: str, num_steps: int) -> list[Entry]:
    """Fig. 7: five modules and the noise-free reference, and the two that P1's equations define literally.

    The noise runs from `NOISE_FACTOR` times Table I's initial scale to as many times its minimum: CNN keeps
    the initial scale, CNN-DP spends the same total as CNN-DP-GAN in equal parts, CNN-DP-GAN follows Eq. (4).
    """
    column = table_one(dataset)
    first, last = NOISE_FACTOR * column.initial_scale, NOISE_FACTOR * column.min_scale
    growing = budget_for_scales(first, last, Config.nominal_sensitivity, num_steps)
    constant = Budget(growing.initial_epsilon, 0.0)
    total = total_epsilon(num_steps, growing)
    l2 = {"l2_coefficient": column.l2_coefficient}
    growth = first / last if num_steps > 1 else 1.0

    def run(method: str, **changes: Any) -> Config:
        return preset(method, "reconstructed", dataset, num_steps, **changes)

    unallocated = {"total_epsilon": total_epsilon(num_steps, constant)}
    return [
        Entry("noise-free", run("cnn")),
        Entry("CNN", run("cnn_noisy", **unallocated)),
        Entry("CNN+L2", run("cnn_noisy", **unallocated, **l2)),
        Entry("CNN-DP", run("cnn_dp", total_epsilon=total)),
        Entry("CNN-DP+L2", run("cnn_dp", total_epsilon=total, **l2)),
        Entry("CNN-DP-GAN", run("cnn_dp_gan", total_epsilon=total, growth=growth, **l2)),
        Entry("CNN-DP", preset("cnn_dp", "printed", dataset, num_steps)),
        Entry("CNN-DP-GAN", preset("cnn_dp_gan", "printed", dataset, num_steps)),
    ]


def table1_settings(dataset: str, num_steps: int) -> list[Entry]:
    """Table I: the methods as printed, and the two nearest settings that train.

    "No clip" drops the clip of 0.002, moves the noise from the mean to the sum and raises the rate to 0.3; "noise
    in clips" keeps the clip, reads the noise scale as a multiple of it, on the sum, and raises the rate to 100
    (CIFAR-10: its tuned rate, and 10, which momentum takes as far).
    """
    column = table_one(dataset)
    growth = column.initial_scale / column.min_scale if num_steps > 1 else 1.0

    def total(unit: float, sensitivity: float) -> float:
        ends = unit * column.initial_scale, unit * column.min_scale
        return total_epsilon(num_steps, budget_for_scales(*ends, sensitivity, num_steps))

    nominal, clip_norm = Config.nominal_sensitivity, column.clip_norm
    unclipped = preset(
        "cnn_dp_gan", "reconstructed", dataset, num_steps, total_epsilon=total(1.0, nominal), growth=growth
    )
    rate = round(100 * (1 - unclipped.momentum), 6)
    in_clips = unclipped.replace(
        clip="batch",
        clip_norm=clip_norm,
        nominal_sensitivity=clip_norm,
        total_epsilon=total(clip_norm, clip_norm),
        learning_rate=rate,
    )
    return [
        Entry("noise-free", preset("cnn", "reconstructed", dataset, num_steps)),
        Entry("CNN-DP", preset("cnn_dp", "printed", dataset, num_steps)),
        Entry("CNN-DP-GAN", preset("cnn_dp_gan", "printed", dataset, num_steps)),
        Entry("CNN-DP-GAN-Polyak", preset("cnn_dp_gan_polyak", "printed", dataset, num_steps)),
        Entry("no clip", unclipped, Facts(variant=f"rate {unclipped.learning_rate:g}")),
        Entry("noise in clips", in_clips, Facts(variant=f"rate {rate:g}")),
    ]


def eq01_05_adaptive_noise(dataset: str, num_steps: int) -> list[Entry]:
    """Eq. (1)-(5): CNN-DP-GAN, then each printed choice put back alone, growth ratios and L2 factors."""
    base = preset("cnn_dp_gan", "reconstructed", dataset, num_steps)
    column = table_one(dataset)
    other = "Tanh" if base.activation == "relu" else "ReLU"
    runs = {
        "reconstructed": base,
        "noise on the mean": base.replace(noise_on="mean"),
        "learning rate 0.001": base.replace(learning_rate=column.learning_rate),
        "batch clip 0.002": base.replace(clip="batch", clip_norm=column.clip_norm),
        "L2 over N": base.replace(l2_coefficient=column.l2_coefficient, l2_over="train"),
        "L2 over B": base.replace(l2_coefficient=column.l2_coefficient),
        "L2 factor 0.05": base.replace(l2_coefficient=0.05 * base.batch_size),
        "L2 factor 0.5": base.replace(l2_coefficient=0.5 * base.batch_size),
        "growth 1": base.replace(growth=1.0),
        "growth 10": base.replace(growth=10.0),
        "Brier loss": base.replace(loss="brier"),
        other: base.replace(activation=other.lower()),
        "Poisson batches": base.replace(sampling="poisson"),
        "printed": preset("cnn_dp_gan", "printed", dataset, num_steps),
    }
    return [Entry(name, config) for name, config in runs.items()]


def eq06_11_polyak(dataset: str, num_steps: int) -> list[Entry]:
    """Eq. (6)-(11): the Polyak step as printed, capped, capped and de-biased, beside fixed rates.

    The rates are CNN-DP-GAN's own, a third and a tenth of it; the other cap is 10/3 of the reconstruction's.
    """
    base = preset("cnn_dp_gan_polyak", "reconstructed", dataset, num_steps)
    gan = preset("cnn_dp_gan", "reconstructed", dataset, num_steps)
    cap = base.max_step or MAX_STEP
    higher = float(f"{cap * 10 / 3:.1g}")
    rates = [float(f"{gan.learning_rate / part:.1g}") for part in (10, 3, 1)]
    runs = {
        "Eq. (10), no cap": base.replace(max_step=None, debias=False),
        f"cap {cap:g}": base.replace(debias=False),
        f"cap {cap:g}, de-biased": base,
        f"cap {higher:g}, de-biased": base.replace(max_step=higher),
        **{f"fixed {rate:g}": gan.replace(learning_rate=rate) for rate in rates},
        "printed": preset("cnn_dp_gan_polyak", "printed", dataset, num_steps),
    }
    return [Entry(name, config) for name, config in runs.items()]


def baselines(dataset: str, num_steps: int) -> list[Entry]:
    """P1's baselines, each as its own method."""
    return [Entry(name, preset(method, "reconstructed", dataset, num_steps)) for name, method in BASELINES.items()]


def fig08_loss(dataset: str, num_steps: int) -> list[Entry]:
    """Fig. 8: accuracy lost by the baselines and by CNN-DP-GAN against the same network without noise."""
    return [
        Entry("noise-free", preset("cnn", "reconstructed", dataset, num_steps)),
        *baselines(dataset, num_steps),
        Entry("CNN-DP-GAN", preset("cnn_dp_gan", "reconstructed", dataset, num_steps)),
        Entry("CNN-DP-GAN", preset("cnn_dp_gan", "printed", dataset, num_steps)),
    ]


def fig09_comparison(dataset: str, num_steps: int) -> list[Entry]:
    """Fig. 9: final accuracy of the baselines and of the Polyak method at Table II's totals.

    CNN-DP-GAN with its fixed rate stands beside them: it tells what the Polyak step adds. Where Table II's
    total is a likely misprint, the printed one is run, too.
    """
    runs = baselines(dataset, num_steps)
    polyak = preset("cnn_dp_gan_polyak", "reconstructed", dataset, num_steps)
    printed = preset("cnn_dp_gan_polyak", "printed", dataset, num_steps)
    misprinted = []
    if printed.total_epsilon != polyak.total_epsilon:
        total = printed.total_epsilon
        facts = Facts(variant=f"total {total:g}")
        misprinted = [
            Entry(name, config.replace(total_epsilon=total), facts)
            for name, config in (("DP-SGD", named(runs)["DP-SGD"].config), ("CNN-DP-GAN-Polyak", polyak))
        ]
    return [
        Entry("noise-free", preset("cnn", "reconstructed", dataset, num_steps)),
        *runs,
        Entry("CNN-DP-GAN-Polyak", polyak),
        Entry("CNN-DP-GAN", preset("cnn_dp_gan", "reconstructed", dataset, num_steps)),
        *misprinted,
        Entry("CNN-DP-GAN-Polyak", printed),
    ]


def fig10_thresholds(
    dataset: str,
    num_steps: int,
    budgets: tuple[float, ...] = BUDGETS,
    thresholds: tuple[float, ...] = THRESHOLDS,
) -> list[Entry]:
    """Fig. 10: the Polyak method for some thresholds and a grid of budgets, the same in every step.

    Printed, Eq. (10) has no place for a threshold, so there is one run a budget.
    """

    def run(reading: str, budget: float, **changes: Any) -> Entry:
        total, method = budget * num_steps, "cnn_dp_gan_polyak"
        config = preset(method, reading, dataset, num_steps, total_epsilon=total, growth=1.0, **changes)
        return Entry("CNN-DP-GAN-Polyak", config, Facts(budget=budget))

    printed = [budget for budget in FEW_BUDGETS if budget in budgets]
    return [
        Entry("noise-free", preset("cnn", "reconstructed", dataset, num_steps)),
        *(run("reconstructed", budget, max_step=cap) for cap in thresholds for budget in budgets),
        *(run("printed", budget) for budget in printed or budgets),
    ]
