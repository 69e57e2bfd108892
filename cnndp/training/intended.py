"""What a private run intends to release, from its Config alone: the noise that its target allows, and the plan."""

from cnndp.data.preparation import statistics
from cnndp.privacy.accounting import exact_epsilon
from cnndp.privacy.calibration import growth_shape
from cnndp.privacy.ledger import Release
from cnndp.privacy.plan import Plan, make_plan
from cnndp.training.batches import sampling_prob_for
from cnndp.training.config import Config


def one_off(config: Config) -> list[Release]:
    """Return what a run releases outside its steps: the statistics that scattering features are prepared with.

    They need no step to happen: known before any data is read, and valid under every reading.

    >>> one_off(Config(method="dp_sgd", reading="reconstructed", dataset="mnist", num_steps=9))
    []
    """
    if config.mean_noise is None or config.moment_noise is None:
        return []
    return [
        Release(fact.quantity, fact.mechanism, fact.scale, fact.sensitivity, "all", 1, norm="l2")
        for fact in statistics(config.mean_noise, config.moment_noise)
    ]


def intended(config: Config, num_train: int) -> Plan | None:
    """Return the plan of a run with a `target_epsilon`, with the least noise that meets it; None for other runs.

    The clip norm is the sensitivity of the sum of gradients, and the clip of the losses that of their sum, since
    neighbours differ in one record, added or removed.

    Args:
        config: one run.
        num_train: N, which with q = B/N counts as public.

    >>> config = Config(method="dp_sgd", reading="private", dataset="mnist", num_steps=9, sampling="poisson",
    ...     mechanism="gaussian", clip="example_l2", clip_norm=0.5, target_epsilon=1.0)
    >>> intended(config, 56_000).check().epsilon <= 1.0
    True
    """
    if config.noise_multiplier is not None and config.reading == "private":
        refuse_unpriced(config, num_train)
    if config.target_epsilon is None or config.clip_norm is None:
        return None
    return make_plan(
        config.target_epsilon,
        growth_shape(config.num_steps, config.growth),
        sampling_prob_for(config.batch_size, num_train),
        config.clip_norm,
        mechanism=config.mechanism,
        delta=config.delta,
        one_off=one_off(config),
        loss_share=config.loss_share if config.loss_clip else 0.0,
        loss_sensitivity=config.loss_clip,
    )


def refuse_unpriced(config: Config, num_train: int) -> None:
    """Refuse, before a private run of a given multiplier is trained, noise that no accountant could price afterwards.

    Raises:
        ValueError: the multiplier, the number of releases, and what to change.
    """
    norm = "l1" if config.mechanism == "laplace" else "l2"
    prob, multiplier = sampling_prob_for(config.batch_size, num_train), config.noise_multiplier or 0.0
    steps = Release("gradient", config.mechanism, multiplier, 1.0, "poisson", config.num_steps, prob, 1, norm)
    exact_epsilon([steps], config.delta)
