"""Forms of the same steps side by side: ``python -m benchmarks.forms FOLDER`` of train_step's JSON.

The first column is `eager.json`; the others are told as ratios to it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

FIRST = "eager"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.forms", description=__doc__)
    parser.add_argument("folder", type=Path)
    print(table(parser.parse_args().folder))


def table(folder: Path) -> str:
    """A table in Markdown, one row a part.

    Args:
        folder: holds the output of ``benchmarks.train_step --json``, a file a form.

    Raises:
        FileNotFoundError: there is no `eager.json`.
    """
    found = {path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}
    if FIRST not in found:
        msg = f"{folder} holds no {FIRST}.json, to which the other forms are compared"
        raise FileNotFoundError(msg)
    names = [FIRST, *sorted(found.keys() - {FIRST})]
    parts = found[FIRST]["parts"]
    machine = next(iter(parts.values()))
    settings = found[FIRST]["settings"]
    lines = [
        (
            f"{machine['machine']}, torch {machine['torch']}, {found[FIRST]['date']}, "
            f"{settings['config']}, {settings['dtype']}"
        ),
        "",
        f"| part | {' | '.join(names)} | of the peak rate |",
        "|---|" + "---|" * (len(names) + 1),
    ]
    for part, first in parts.items():
        cells = [_seconds(first)]
        for name in names[1:]:
            other = found[name]["parts"].get(part)
            cells.append("" if other is None else _ratio(other, first))
        share = first["flops"] / first["median_s"] / max(first["matmul_flops"])
        lines.append(f"| `{part}` | {' | '.join(cells)} | {share:.0%} |")
    return "\n".join(lines)


def _seconds(part: dict[str, Any]) -> str:
    return f"{part['median_s']:.3f} s, {_peak(part) / 1e9:.2f} GB"


def _ratio(part: dict[str, Any], first: dict[str, Any]) -> str:
    time = part["median_s"] / first["median_s"]
    return f"{time:.2f}×, {_peak(part) / _peak(first):.2f}×"


def _peak(part: dict[str, Any]) -> float:
    return float(part.get("peak_cuda_bytes", part["peak_rss_bytes"]))


if __name__ == "__main__":
    main()
