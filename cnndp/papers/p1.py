"""What P1 states, as data: Tables I and II, and every number of its text and figures.

P1 is Liu, Li, Zhang and Liu, "Big Data Privacy Protection Technology Integrating CNN and Differential
Privacy". Facts only, in our own words. Import `cnndp.papers.claims`, which turns this into `Stated` values.
"""

from __future__ import annotations

from typing import Any

from cnndp.papers.kinds import BEST, INCONSISTENT, NOISE_FREE, NOT_TESTABLE, WORST

ABOVE_0 = (">", 0)

# The Config fields behind each name the papers use; a pair (operator, number) is a condition.
LABELS: dict[str, dict[str, Any]] = {
    "CNN": {"method": "cnn_noisy", "l2_coefficient": 0},
    "CNN+L2": {"method": "cnn_noisy", "l2_coefficient": ABOVE_0},
    "CNN-DP": {"method": "cnn_dp", "l2_coefficient": 0},
    "CNN-DP+L2": {"method": "cnn_dp", "l2_coefficient": ABOVE_0},
    "CNN-DP-GAN": {"method": "cnn_dp_gan"},
    "CNN-DP-GAN-Polyak": {"method": "cnn_dp_gan_polyak"},
    "DPGDM": {"method": "dpgdm"},
    "DP-SGD": {"method": "dp_sgd"},
    "CDP": {"method": "cdp"},
    "threshold 0.01": {"method": "cnn_dp_gan_polyak", "max_step": 0.01},
    "threshold 0.1": {"method": "cnn_dp_gan_polyak", "max_step": 0.1},
    "threshold 1": {"method": "cnn_dp_gan_polyak", "max_step": 1},
}

# Where one figure means something narrower by a name: Fig. 7's CNN-DP-GAN carries the L2 term of Eq. (2).
SECTION_LABELS: dict[str, dict[str, dict[str, Any]]] = {
    "fig07_ablation": {"CNN-DP-GAN": {"method": "cnn_dp_gan", "l2_coefficient": ABOVE_0}},
}

# Numbers in groups: what the numbers of a group share, then (key, value, what, label, own fields) of each.
T_EACH = ("in", (300, 600, 1200))
UNNAMED = "The dataset is not named; read as MNIST."

GROUPS: tuple[tuple[dict[str, Any], tuple[tuple[Any, ...], ...]], ...] = (
    (
        {"place": "Sec. I", "unit": "%", "kind": "cited"},
        (
            ("cited.phishing", 96.76, "accuracy of a phishing detector (reference 3)"),
            ("cited.homomorphic", 93.75, "MNIST training accuracy of a homomorphic scheme (reference 5)"),
        ),
    ),
    (
        {"place": "Secs. II.A, II.B, Figs. 4, 5, 7", "unit": "modules", "kind": "setting"},
        (
            ("fig04.num_modules", 3, "modules of CNN-DP-GAN"),
            ("fig05.num_modules", 4, "modules of CNN-DP-GAN-Polyak"),
            ("fig07.num_modules", 5, "modules of the ablation", "", {"note": "The five are not named."}),
        ),
    ),
    (
        {"place": "Sec. III.A", "kind": "setting"},
        (
            ("setup.windows", 10, "operating system", "", {"unit": "version"}),
            ("setup.memory", 64, "memory", "", {"unit": "GB"}),
            ("setup.python", 3.7, "Python", "", {"unit": "version"}),
            ("split.train", 8, "training part of the split", "", {"unit": "parts of 10"}),
            ("split.test", 2, "test part of the split", "", {"unit": "parts of 10"}),
            ("mnist.num_images", 70000, "images, approximately", "", {"unit": "images", "dataset": "mnist"}),
            ("mnist.side", 28, "height and width", "", {"unit": "pixels", "dataset": "mnist"}),
            ("fashion.num_images", 70000, "images", "", {"unit": "images", "dataset": "fashion_mnist"}),
            ("fashion.num_classes", 10, "classes", "", {"unit": "classes", "dataset": "fashion_mnist"}),
            ("cifar10.num_images", 60000, "images", "", {"unit": "images", "dataset": "cifar10"}),
            ("cifar10.num_classes", 10, "classes", "", {"unit": "classes", "dataset": "cifar10"}),
            ("cifar10.side", 32, "height and width", "", {"unit": "pixels", "dataset": "cifar10"}),
        ),
    ),
    (
        {
            "place": "Fig. 7, text",
            "unit": "%",
            "column": "max_test_accuracy",
            "section": "fig07_ablation",
            "dataset": "mnist",
            "where": {"num_steps": 600},
            "note": UNNAMED + " Neither the panel nor the iterations are named; read as test set and 600.",
        },
        (
            ("fig07.cnn.max_test_accuracy", 50.08, "highest accuracy of CNN, the worst module", "CNN"),
            (
                "fig07.cnn_dp_gan.max_test_accuracy",
                98.38,
                "highest accuracy of CNN-DP-GAN",
                "CNN-DP-GAN",
                {"place": "Fig. 7, text; Conclusion"},
            ),
            ("fig07.order", ("CNN", "CNN-DP", "CNN-DP-GAN"), "each added module raises accuracy"),
            (
                "fig07.l2.cnn",
                ("CNN", "CNN+L2"),
                "the L2 term helps CNN generalise",
                "",
                {"note": "Our reading: a gain from regularisation is stated, the module pair is not."},
            ),
            (
                "fig07.l2.cnn_dp",
                ("CNN-DP", "CNN-DP+L2"),
                "the L2 term helps CNN-DP generalise",
                "",
                {"note": "Our reading: a gain from regularisation is stated, the module pair is not."},
            ),
        ),
    ),
    (
        {"place": "Fig. 8, text", "unit": "steps", "kind": "setting"},
        (("fig08.num_steps", 600, "iterations at which losses are read"),),
    ),
    (
        {
            "place": "Fig. 8(a), text",
            "unit": "points",
            "column": "train_accuracy",
            "against": NOISE_FREE,
            "section": "fig08_loss",
            "dataset": "mnist",
            "where": {"num_steps": 600},
            "note": UNNAMED + " Printed in %; read as points below the same network without noise.",
        },
        (
            ("fig08.train.dpgdm", 4.71, "training accuracy lost by DPGDM", "DPGDM"),
            ("fig08.train.dp_sgd", 3.26, "training accuracy lost by DP-SGD", "DP-SGD"),
            ("fig08.train.cdp", 10.49, "training accuracy lost by CDP", "CDP"),
            ("fig08.train.cnn_dp_gan", 1.31, "training accuracy lost by CNN-DP-GAN", "CNN-DP-GAN"),
            (
                "fig08.train.best.dpgdm",
                ("DPGDM", "CNN-DP-GAN"),
                "CNN-DP-GAN loses less than DPGDM in training",
            ),
            (
                "fig08.train.best.dp_sgd",
                ("DP-SGD", "CNN-DP-GAN"),
                "CNN-DP-GAN loses less than DP-SGD in training",
            ),
            ("fig08.train.best.cdp", ("CDP", "CNN-DP-GAN"), "CNN-DP-GAN loses less than CDP in training"),
        ),
    ),
    (
        {
            "place": "Fig. 8(b), text",
            "unit": "points",
            "column": "curve_test_accuracy",
            "against": NOISE_FREE,
            "section": "fig08_loss",
            "dataset": "mnist",
            "where": {"num_steps": 600},
            "note": UNNAMED + " Printed in %; read as points below the same network without noise.",
        },
        (
            ("fig08.test.dpgdm", 4.18, "test accuracy lost by DPGDM", "DPGDM"),
            ("fig08.test.dp_sgd", 2.96, "test accuracy lost by DP-SGD", "DP-SGD"),
            ("fig08.test.cdp", 9.01, "test accuracy lost by CDP", "CDP"),
            (
                "fig08.test.cnn_dp_gan",
                1.08,
                "test accuracy lost by CNN-DP-GAN",
                "CNN-DP-GAN",
                {
                    "place": "Fig. 8(b), text; Conclusion",
                    "note": UNNAMED + " With the 98.38 of Fig. 7 it implies 99.46 without noise, not the 50.08 of CNN.",
                },
            ),
            ("fig08.test.best.dpgdm", ("DPGDM", "CNN-DP-GAN"), "CNN-DP-GAN loses less than DPGDM"),
            ("fig08.test.best.dp_sgd", ("DP-SGD", "CNN-DP-GAN"), "CNN-DP-GAN loses less than DP-SGD"),
            ("fig08.test.best.cdp", ("CDP", "CNN-DP-GAN"), "CNN-DP-GAN loses less than CDP"),
            (
                "fig08.baseline_order",
                ("CDP", "DPGDM", "DP-SGD"),
                "order of the baselines, both panels",
                "",
                {
                    "place": "Fig. 8, text",
                    "fixed": INCONSISTENT,
                    "note": "CDP is last here and first among them in Fig. 9(a).",
                },
            ),
        ),
    ),
    (
        {
            "place": "Fig. 9(a), text",
            "unit": "%",
            "column": "test_accuracy",
            "section": "fig09_comparison",
            "dataset": "mnist",
            "where": {"num_steps": T_EACH},
            "note": "The average is read as the mean over Table II's T; the sensitivities do not vary there.",
        },
        (
            ("fig09.mnist.dpgdm", 70.23, "mean final accuracy of DPGDM, MNIST", "DPGDM"),
            ("fig09.mnist.dp_sgd", 82.36, "mean final accuracy of DP-SGD, MNIST", "DP-SGD"),
            ("fig09.mnist.cdp", 86.08, "mean final accuracy of CDP, MNIST", "CDP"),
            (
                "fig09.mnist.polyak",
                97.68,
                "mean final accuracy of CNN-DP-GAN-Polyak, MNIST",
                "CNN-DP-GAN-Polyak",
                {"place": "Abstract; Fig. 9(a), text; Conclusion"},
            ),
            ("fig09.mnist.best.dpgdm", ("DPGDM", "CNN-DP-GAN-Polyak"), "Polyak above DPGDM, MNIST"),
            ("fig09.mnist.best.dp_sgd", ("DP-SGD", "CNN-DP-GAN-Polyak"), "Polyak above DP-SGD, MNIST"),
            ("fig09.mnist.best.cdp", ("CDP", "CNN-DP-GAN-Polyak"), "Polyak above CDP, MNIST"),
            (
                "fig09.mnist.baseline_order",
                ("DPGDM", "DP-SGD", "CDP"),
                "order of the baselines, MNIST",
                "",
                {"fixed": INCONSISTENT, "note": "CDP is first here and last in Fig. 8."},
            ),
        ),
    ),
    (
        {
            "place": "Abstract",
            "unit": "points",
            "section": "fig09_comparison",
            "dataset": "mnist",
            "where": {"num_steps": T_EACH},
            "fixed": INCONSISTENT,
            "note": "Next to 97.68 % it is MNIST, where Fig. 9(a) has 11.6 to 27.5 points.",
        },
        (
            (
                "abstract.gain.low",
                20,
                "smallest gain over a baseline",
                "CNN-DP-GAN-Polyak",
                {"column": "test_accuracy", "against": BEST},
            ),
            (
                "abstract.gain.high",
                30,
                "largest gain over a baseline",
                "CNN-DP-GAN-Polyak",
                {"column": "test_accuracy", "against": WORST},
            ),
        ),
    ),
    (
        {
            "place": "Fig. 9(b), text",
            "unit": "points",
            "section": "fig09_comparison",
            "dataset": "cifar10",
            "where": {"num_steps": T_EACH},
            "note": "The baselines' values are not printed; 'improvement' is read as points.",
        },
        (
            (
                "fig09.cifar10.polyak",
                92.08,
                "mean final accuracy of CNN-DP-GAN-Polyak, CIFAR-10",
                "CNN-DP-GAN-Polyak",
                {
                    "unit": "%",
                    "column": "test_accuracy",
                    "note": "Above the private records without extra data.",
                },
            ),
            (
                "fig09.cifar10.gain.low",
                20,
                "smallest gain over a baseline, CIFAR-10",
                "CNN-DP-GAN-Polyak",
                {"column": "test_accuracy", "against": BEST},
            ),
            (
                "fig09.cifar10.gain.high",
                30,
                "largest gain over a baseline, CIFAR-10",
                "CNN-DP-GAN-Polyak",
                {"column": "test_accuracy", "against": WORST},
            ),
        ),
    ),
    (
        {"place": "Fig. 10, text", "kind": "setting"},
        (
            ("fig10.num_steps", 300, "iterations", "", {"unit": "steps"}),
            ("fig10.threshold.small", 0.01, "threshold of panel (a)", "", {"unit": "max_step"}),
            ("fig10.threshold.middle", 0.1, "threshold of panel (b)", "", {"unit": "max_step"}),
            ("fig10.threshold.large", 1, "threshold of panel (c)", "", {"unit": "max_step"}),
            (
                "fig10.budget",
                5,
                "the one budget the text names",
                "",
                {"unit": "epsilon", "note": "Read as a budget per step: a total of 1500 over 300 steps."},
            ),
        ),
    ),
    (
        {
            "place": "Fig. 10, text",
            "unit": "%",
            "column": "test_accuracy",
            "section": "fig10_thresholds",
            "dataset": "mnist",
            "note": UNNAMED,
        },
        (
            (
                "fig10.early",
                5,
                "poor accuracy early on at this budget",
                "",
                {
                    "unit": "epsilon",
                    "column": "",
                    "fixed": NOT_TESTABLE,
                    "note": "No accuracy, step or method to compare with is printed.",
                },
            ),
            (
                "fig10.low_budget",
                ("threshold 1", "threshold 0.1", "threshold 0.01"),
                "a smaller threshold helps at a low budget",
                "",
                {
                    "place": "Fig. 10, text; Conclusion",
                    "where": {"num_steps": 300, "total_epsilon": ("<=", 30)},
                    "note": UNNAMED + " Low is read as at most 0.1 per step, a total of 30.",
                },
            ),
            (
                "fig10.low_budget.pair",
                ("threshold 1", "threshold 0.1"),
                "a smaller threshold helps at a low budget, 0.1 against 1",
                "",
                {
                    "place": "Fig. 10, text; Conclusion",
                    "where": {"num_steps": 300, "total_epsilon": ("<=", 30)},
                    "note": "Our weaker reading of the row above: one smaller threshold suffices.",
                },
            ),
            (
                "fig10.high_budget",
                ("threshold 0.01", "threshold 0.1", "threshold 1"),
                "a larger threshold helps at a high budget",
                "",
                {
                    "place": "Abstract; Fig. 10, text",
                    "where": {"num_steps": 300, "total_epsilon": 1500},
                    "note": UNNAMED + " High is read as the budget 5 the text names, per step.",
                },
            ),
        ),
    ),
    (
        {"place": "Table II; Eq. (5), text", "unit": "epsilon", "section": "table2_budget"},
        (
            (
                "table2.mnist.eq5",
                279.5,
                "budget at T = 1200 follows Eq. (5), MNIST",
                "",
                {"dataset": "mnist", "fixed": INCONSISTENT, "note": "Eq. (5) through T = 300 and 600 gives 266.0."},
            ),
            (
                "table2.fashion_mnist.eq5",
                960,
                "budget at T = 1200 follows Eq. (5), Fashion-MNIST",
                "",
                {
                    "dataset": "fashion_mnist",
                    "fixed": INCONSISTENT,
                    "note": "Eq. (5) through T = 300 and 600 gives 557.0; likely a misprint of 560.",
                },
            ),
            (
                "table2.cifar10.eq5",
                687.6,
                "budget at T = 1200 follows Eq. (5), CIFAR-10",
                "",
                {"dataset": "cifar10", "fixed": INCONSISTENT, "note": "Eq. (5) through T = 300 and 600 gives 135.0."},
            ),
        ),
    ),
)
