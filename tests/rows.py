"""Frames of runs and their histories, made by hand: what the reports read, with numbers that tests choose."""

import re
from statistics import fmean

import numpy as np
import pandas as pd

DEFAULTS = {
    "section": "",
    "panel": "",
    "target": "",
    "budget": np.nan,
    "cap_factor": np.nan,
    "variant": "",
    "beside": "",
    "method": "cnn_dp_gan_polyak",
    "reading": "reconstructed",
    "dataset": "digits",
    "num_steps": 60,
    "batch_size": 250,
    "model": "mnist_cnn",
    "mechanism": "laplace",
    "step": "polyak",
    "max_step": 0.3,
    "l2_coefficient": 0.0,
    "total_epsilon": 14.5,
    "target_epsilon": np.nan,
    "noise_multiplier": np.nan,
    "projection": np.nan,
    "delta": 1e-5,
    "rate": 0.3,
    "digest": "0123456789ab",
    "status": "finished",
    "train_accuracy": 80.0,
    "train_loss": 0.5,
    "test_loss": 0.6,
    "rdp_epsilon": np.nan,
    "last_step": 60,
    "capped": 0.0,
    "nominal_epsilon": 14.5,
    "exact_epsilon": np.nan,
    "renyi_epsilon": np.nan,
    "no_guarantee": "the loss is used raw",
    "commit": "0123456789",
    "torch": "2.15.0",
    "device": "CPU (x86_64)",
    "seconds": 1000.4,
    "dataset_sha256": "f" * 64,
}
REFERENCE = {"method": "cnn", "mechanism": "none", "step": "fixed", "max_step": np.nan, "total_epsilon": np.nan}


def run(name, final=90.0, seed=0, **columns):
    """Return a run as a row; its label and title are its name unless they are given."""
    label = columns.get("label", name)
    shown = {"label": label, "title": label, "name": name, "seed": seed, "test_accuracy": final}
    return {
        **DEFAULTS,
        **shown,
        "max_test_accuracy": final,
        "curve_test_accuracy": columns.get("test_accuracy", final),
        "ledger": [],
        **columns,
    }


def seeds(name, *finals, **columns):
    """Return a run with each seed."""
    return [run(name, final, seed, **columns) for seed, final in enumerate(finals)]


def runs(*rows):
    """Return runs as a frame."""
    return pd.DataFrame(list(rows), columns=list(run("any"))).rename_axis("run")


def history(*rows, **curves):
    """Return the histories of runs: columns with a list each, the same for all, or in the run's `points`."""
    parts = []
    for number, one in enumerate(rows):
        own = {**curves, **one.get("points", {})}
        points = pd.DataFrame(own).rename_axis("point").reset_index()
        kept = {key: value for key, value in one.items() if key not in {*own, "points", "ledger"}}
        parts.append(points.assign(run=number, **kept))
    return pd.concat(parts, ignore_index=True)


def narrow(markdown):
    """Return a Markdown table without the blanks that align its columns."""
    return re.sub(" +", " ", markdown)


def best_rates(runs):
    """Return the rate with the highest mean accuracy of each run of a tuning section, by what `tuned` knows it by."""
    finals = {}
    for run in runs.itertuples():
        size = None if pd.isna(run.projection) else run.projection
        grid = finals.setdefault((run.name, run.panel, run.target, size), {})
        grid.setdefault(run.rate, []).append(run.test_accuracy)
    return {key: max(rates, key=lambda rate: fmean(rates[rate])) for key, rates in finals.items()}
