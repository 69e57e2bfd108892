"""Write the result card into README.md from the records, between its two markers."""

import sys
from pathlib import Path

from cnndp.audit import campaign
from cnndp.report import findings, numbers, verdicts
from cnndp.runs import store

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- result card: written by book/readme.py -->", "<!-- end of the result card -->"


def card() -> str:
    """Return the card in Markdown: how many claims hold, the headline ones, and what no number here means."""
    frame = verdicts.compare(findings.all_runs())
    detections = campaign.path_for(store.default_root(), "detections")
    reference = numbers.measured(findings.runs_of("fig07_ablation", "mnist"), "max_test_accuracy", name="noise-free")
    return "\n\n".join(
        [
            f"**{findings.claim_summary(frame)}** What both papers are quoted for, mean ± standard deviation (number "
            f"of seeds); without noise P1's network reaches {reference} on MNIST:",
            findings.headlines(frame),
            "Records of all runs: `book/results`; every claim with its verdict and reason: the book's page on results. "
            "Only the runs under *private* carry a privacy guarantee: P1 bounds nothing that one record adds to a "
            "gradient, and its batches are not the samples that accounting assumes.",
            "**Under a valid guarantee** (numerical ε, an upper bound at δ = 1e-5 with every release counted; official "
            "test images, used once) a linear model on scattering features reaches, in percent:",
            findings.valid_guarantees(),
            f"Can the checks fail? {campaign.summary(store.load(detections)['rows'])}",
        ]
    )


def fill(text: str, inner: str) -> str:
    """Return `text` with what stands between the markers replaced by `inner`.

    Raises:
        ValueError: a marker is missing or the two are in the wrong order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md needs the lines {BEGIN!r} and {END!r}, in this order")
    return f"{before}{BEGIN}\n\n{inner}\n\n{END}{after}"


def main() -> None:
    """Rewrite README.md when its card is not what the records give."""
    text = README.read_text(encoding="utf-8")
    filled = fill(text, card())
    if filled != text:
        README.write_text(filled, encoding="utf-8")
        print("README.md: result card rewritten", file=sys.stderr)


if __name__ == "__main__":
    main()
