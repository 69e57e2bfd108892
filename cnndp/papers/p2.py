"""What P2 states, as data: Tables 1 to 3 and every number of its text and figures.

P2 is Rajput and Tiwari, "Differential Privacy Preserving Using TensorFlow DP-SGD and 2D-CNN for Large-Scale
Image Data", IJRASET 11(3), 2023, doi 10.22214/ijraset.2023.49632. Facts only, in our own words. The layout is that
of `cnndp.papers.p1`; import `cnndp.papers.claims`. One epoch is 60,000 / 250 = 240 steps.
"""

from __future__ import annotations

from typing import Any

from cnndp.papers.kinds import INCONSISTENT, MISQUOTED

# The accuracies are tested twice: on the dataset the text names, and on the one its tutorial uses.
AS_PRINTED = "On the dataset the text names."
AS_TUTORIAL = "Our reading: on MNIST, the dataset of the tutorial that the paper follows."
SECTION = "p2_table3"
E3 = {"where": {"num_steps": 720}}
E20 = {"where": {"num_steps": 4800}}

_ACCURACIES: tuple[tuple[Any, ...], ...] = (
    (
        "table2.train_accuracy",
        94.71,
        "training accuracy, 20 epochs",
        "DP-SGD",
        {**E20, "place": "Abstract; Table 2, text", "column": "train_accuracy"},
    ),
    (
        "table2.test_accuracy",
        95.29,
        "validation accuracy, 20 epochs",
        "DP-SGD",
        {**E20, "place": "Table 2, text"},
    ),
    ("table3.e3.accuracy", 85.17, "accuracy after 3 epochs", "DP-SGD", E3),
    ("table3.e20.accuracy", 95.28, "accuracy after 20 epochs", "DP-SGD", E20),
)

_COMMON: dict[str, Any] = {
    "place": "Abstract; Table 3, text; Conclusion",
    "unit": "%",
    "column": "test_accuracy",
    "section": SECTION,
}

GROUPS: tuple[tuple[dict[str, Any], tuple[tuple[Any, ...], ...]], ...] = (
    (
        {"place": "Sec. II", "unit": "%", "kind": "cited"},
        (
            ("cited.bayes", 95, "correctness of Bayesian classifiers, a lower bound (reference 11)"),
            ("cited.roc", 95.53, "area under a receiver curve (reference 11)"),
        ),
    ),
    (
        {"place": "Secs. III.A, III.D", "kind": "setting", "dataset": "fashion_mnist"},
        (
            ("data.num_train", 60000, "training images", "", {"unit": "images"}),
            ("data.num_test", 10000, "test images", "", {"unit": "images"}),
            (
                "data.num_classes",
                10,
                "classes",
                "",
                {"unit": "classes", "place": "Secs. III.A, III.C, III.D; Figs. 3, 4, text"},
            ),
            ("data.side", 28, "height and width", "", {"unit": "pixels", "place": "Secs. III.A, III.C"}),
            ("data.channels", 1, "channels", "", {"unit": "channels", "place": "Sec. III.C"}),
            (
                "data.scale",
                255,
                "pixel values are divided by",
                "",
                {"unit": "grey levels", "place": "Sec. III.C"},
            ),
            (
                "fig03.per_class",
                6000,
                "training images per class",
                "",
                {"unit": "images", "place": "Fig. 3, text"},
            ),
            (
                "fig04.per_class",
                1000,
                "test images per class",
                "",
                {"unit": "images", "place": "Fig. 4, text", "note": "The caption names the training set."},
            ),
        ),
    ),
    (
        {"place": "Table 1", "kind": "setting"},
        (
            ("table1.conv1", 16, "channels of the first convolution", "", {"unit": "neurons"}),
            ("table1.conv2", 32, "channels of the second convolution", "", {"unit": "neurons"}),
            ("table1.hidden", 32, "width of the hidden layer", "", {"unit": "neurons"}),
            ("table1.output", 10, "width of the output layer", "", {"unit": "neurons"}),
            ("table1.stride", 2, "stride", "", {"unit": "pixels"}),
            ("table1.epochs", 20, "epochs", "", {"unit": "epochs", "place": "Table 1; Sec. IV; Table 3"}),
            (
                "table3.epochs",
                3,
                "epochs of the short run",
                "",
                {"unit": "epochs", "place": "Abstract; Table 3"},
            ),
        ),
    ),
    (
        {"place": "Sec. IV, twice", "kind": "setting"},
        (
            ("noise_multiplier", 1.3, "noise multiplier", "", {"unit": "clip norms"}),
            ("clip_norm", 1.5, "L2 clip norm", "", {"unit": "norm"}),
            (
                "num_microbatches",
                250,
                "microbatches",
                "",
                {"unit": "microbatches", "note": "At the stated one example each, the batch size."},
            ),
            (
                "microbatch_size",
                1,
                "examples per microbatch by default",
                "",
                {"unit": "examples", "place": "Sec. IV"},
            ),
            (
                "learning_rate",
                0.25,
                "learning rate",
                "",
                {
                    "unit": "%",
                    "note": "Literally 0.0025; the tutorial's rate is 0.25 without the percent sign.",
                },
            ),
        ),
    ),
    ({**_COMMON, "dataset": "fashion_mnist", "note": AS_PRINTED}, _ACCURACIES),
    (
        {**_COMMON, "dataset": "mnist", "note": AS_TUTORIAL},
        tuple((f"{row[0]}.on_mnist", row[1], f"{row[2]}, on MNIST", *row[3:]) for row in _ACCURACIES),
    ),
    (
        {
            "place": "Table 2, text",
            "unit": "%",
            "section": SECTION,
            "dataset": "fashion_mnist",
            **E20,
            "note": "A cross-entropy printed in %: 36.17 % is read as 0.3617.",
        },
        (
            (
                "table2.train_loss",
                36.17,
                "training loss, 20 epochs",
                "DP-SGD",
                {"column": "train_loss", "factor": 100.0},
            ),
            (
                "table2.test_loss",
                27.87,
                "validation loss, 20 epochs",
                "DP-SGD",
                {"column": "test_loss", "factor": 100.0, "note": "A cross-entropy printed in %: read as 0.2787."},
            ),
        ),
    ),
    (
        {**_COMMON, "unit": "epsilon", "column": "epsilon", "dataset": "fashion_mnist"},
        (
            (
                "table3.e3.epsilon",
                0.56,
                "epsilon after 3 epochs",
                "DP-SGD",
                {**E3, "note": "The tutorial's accountant (Renyi, delta 1e-5) gives 0.5632."},
            ),
            (
                "table3.e20.epsilon",
                100.09,
                "epsilon after 20 epochs",
                "DP-SGD",
                {
                    **E20,
                    "fixed": INCONSISTENT,
                    "note": "The printed noise multiplier 1.3 gives 1.09; this needs 0.294.",
                },
            ),
        ),
    ),
    (
        {"place": "Sec. III.A", "unit": "dataset", "section": SECTION, "dataset": "fashion_mnist"},
        (
            (
                "dataset",
                ("Fashion-MNIST",),
                "the dataset is Fashion-MNIST",
                "",
                {
                    "fixed": MISQUOTED,
                    "note": "Settings and accuracies are those of the cited tutorial, which uses MNIST, "
                    "and above what such a network reaches without noise on Fashion-MNIST.",
                },
            ),
        ),
    ),
)
