"""Edit the tiny world's clips with the whole method and with each of its parts left out.

    python -m eval.ablation --out runs/ablation
    python -m eval.ablation --out runs/ablation --clips 20 tune.steps=200

Every variant is a `tav run` into one run, so what two of them share is computed once, and a rerun
computes only what is missing. Writes results.json, results.md and results.png.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from eval.measures import MEASURES

if TYPE_CHECKING:
    from eval.ablation.statistics import EditId

VARIANTS = MappingProxyType(
    {
        "full": (),
        "w/o ST-Attn": ("model.attention_mode=per_frame",),
        "w/o inversion": ("sample.start=noise",),
        "w/o tuning": ("tune.steps=0",),
    }
)
"""What each changes in the run's configuration."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run every variant and write what came of it."""
    parser = argparse.ArgumentParser(
        prog="eval.ablation", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of clips, run and results")
    parser.add_argument("--config", type=Path, default=Path("manifests/runs/tinyworld.yaml"))
    parser.add_argument("--clips", type=int, default=12, help="each with three edits")
    parser.add_argument("--seed", type=int, default=1, help="of clips and edits")
    parser.add_argument(
        "--without",
        action="append",
        choices=[name.removeprefix("w/o ") for name in VARIANTS if name != "full"],
        help="compare the whole method with this variant; may be repeated (default: with each)",
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as of `tav run`")
    args = parser.parse_args(argv)

    from eval.ablation.clips import write_dataset  # noqa: PLC0415 - --help need not pay for them
    from eval.ablation.results import markdown, plot, summarise  # noqa: PLC0415

    out = args.out.resolve()
    manifest = write_dataset(out, args.clips, args.seed)
    common = [f"run={out / 'run'}", f"manifest={manifest}", *args.overrides]
    measured = {
        variant: _measure(args.config, out, [*common, *changes])
        for variant, changes in VARIANTS.items()
        if variant == "full" or args.without is None or variant.removeprefix("w/o ") in args.without
    }
    results = summarise(measured)
    document = {"clips": args.clips, "seed": args.seed, "overrides": args.overrides}
    text = json.dumps(document | results.document(), indent=2)
    (out / "results.json").write_text(text + "\n", encoding="utf-8")
    (out / "results.md").write_text(markdown(results), encoding="utf-8")
    plot(results, out / "results.png")
    print(markdown(results))


def _measure(config: Path, out: Path, overrides: Sequence[str]) -> dict[str, dict[EditId, float]]:
    """Run one variant and read its scores."""
    table = out / "scores.parquet"
    _tav("run", "--config", str(config), *overrides)
    _tav("export", str(out / "run"), "--to", str(table))
    return read_scores(table)


def _tav(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "components.cli", *arguments], check=True)  # noqa: S603


def read_scores(table: Path) -> dict[str, dict[EditId, float]]:
    """Scores that are there, by column and edit, of a table that `tav export` wrote."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows = pq.read_table(table).to_pylist()
    return {
        name: {
            (row["video_id"], row["edit_id"]): row[name] for row in rows if row[name] is not None
        }
        for name in MEASURES
    }


if __name__ == "__main__":
    main()
