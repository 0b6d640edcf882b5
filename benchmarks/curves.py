"""Draw the curves in docs/ from the recorded figures, so that none is drawn by hand.

python benchmarks/curves.py            # draw
python benchmarks/curves.py --quick    # only say whether the drawings are up to date
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from langchain_qstar.evaluation.recording import read_record

RESULTS: Final = Path(__file__).parent / "results"
DOCS: Final = Path(__file__).parent.parent / "docs"
Figures = Mapping[str, float]


def along(name: str, label: str, default: float) -> Figure:
    """Shares along one axis of `sweeps.py`.

    Args:
        name: The axis, `lambda` or `k`.
        label: What it is called.
        default: Of the setting; it was measured too. Places on the axis are evenly spaced.
    """
    figures = read_record(RESULTS / "sweeps.json")["figures"]
    keys = [key for key in figures if key.startswith(f"{name}_")]
    values = [float(key.removeprefix(f"{name}_")) for key in keys]
    figure, axes = _empty()
    axes.axvline(values.index(default), color="0.6", linestyle=":", label="default")
    _curve(axes, range(len(values)), keys, figures, "right, with 95 % interval")
    axes.set_xticks(range(len(values)), [f"{value:g}" for value in values])
    axes.set_xlabel(label)
    figure.legend(loc="outside upper left", ncols=2, frameon=False)
    return figure


def rollouts() -> Figure:
    """Shares of samples and of trees against the tokens of a question, from `rstar.py`."""
    figures = read_record(RESULTS / "rstar.json")["figures"]
    figure, axes = _empty()
    lines = {"self_consistency_": "self-consistency, 1 to 64", "generator_maj_": "tree's majority"}
    for start, label in lines.items():
        keys = [key for key in figures if key.removeprefix(start).isdigit()]
        _curve(axes, [figures[f"tokens_{key}"] for key in keys], keys, figures, label)
    for key, label, aside in (
        ("rstar_self", "verified by itself", 0.97),
        ("rstar_peer", "by nano-verifier", 1.03),
    ):
        _curve(axes, [aside * figures[f"tokens_{key}"]], [key], figures, label)
    axes.set_xscale("log")
    axes.set_xlabel("tokens a question, those of verifiers too")
    figure.legend(loc="outside upper left", ncols=2, frameon=False)
    return figure


def _empty() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.set_ylabel("right, %")
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _curve(
    axes: Axes, places: Sequence[float], keys: Sequence[str], figures: Figures, label: str
) -> None:
    """Shares with their intervals."""
    shares = [100 * figures[key] for key in keys]
    below = [100 * (figures[key] - figures[f"low_{key}"]) for key in keys]
    above = [100 * (figures[f"high_{key}"] - figures[key]) for key in keys]
    axes.errorbar(
        places, shares, yerr=[below, above], marker="o", capsize=3, elinewidth=0.8, label=label
    )


def drawn(figure: Figure) -> str:
    """An SVG whose text does not depend on the day."""
    svg = io.StringIO()
    options: dict[str, Any] = {"format": "svg", "metadata": {"Date": None}}
    with rc_context({"svg.hashsalt": "langchain-qstar"}):
        figure.savefig(svg, **options)
    return svg.getvalue()


def drawings() -> dict[Path, str]:
    """All curves."""
    figures = {
        "lambda": along("lambda", "λ, weight of the Q-value", default=1.0),
        "k": along("k", "K, samples a state", default=6.0),
        "rollouts": rollouts(),
    }
    return {DOCS / f"{name}.svg": drawn(figure) for name, figure in figures.items()}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="draw nothing, only compare")
    options = parser.parse_args()
    stale = {
        path: svg
        for path, svg in drawings().items()
        if not path.exists() or path.read_text("utf-8") != svg
    }
    for path, svg in stale.items():
        sys.stderr.write(f"docs/{path.name} is {'stale' if options.quick else 'drawn'}\n")
        if not options.quick:
            path.write_text(svg, "utf-8")
    sys.stdout.write(f"up_to_date: {int(not options.quick or not stale)}\n")
    return int(options.quick and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
