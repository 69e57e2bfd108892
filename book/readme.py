"""Write the result card into README.md from the records, between its two markers."""

import sys
from pathlib import Path

from cnndp import experiment, report

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- result card: written by book/readme.py -->", "<!-- end of the result card -->"
SECTION, DATASET = "fig07_ablation", "mnist"


def card() -> str:
    """Return the card in Markdown: P1's claims of Fig. 7, what was measured, verdicts, and the origin."""
    study = experiment.prepare(SECTION, dataset=DATASET, profile="paper")
    results = experiment.stored(study)
    reference = report.measured(results, "noise-free", "max")
    return "\n\n".join(
        [
            "**P1, Fig. 7, MNIST**: highest test accuracy over 600 iterations, mean ± standard deviation (seeds). "
            f"Without noise the same network reaches {reference}.",
            report.verdict_table(study, results),
            report.source_note(study, results),
            "None of these runs carries a privacy guarantee: P1 bounds nothing that one record adds to a gradient.",
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
