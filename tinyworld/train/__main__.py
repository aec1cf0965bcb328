"""Train the models of the tiny world, each from nothing or from where it was interrupted.

    python -m tinyworld.train --out runs/tinyworld
    torchrun --nproc-per-node 2 -m tinyworld.train --out runs/tinyworld --threads 1 --parts vae

Parts, in the order in which they need each other: vae, diffusion, and the nets that steer it
(controlnet_depth, controlnet_canny, t2i_adapter_canny); reader, clip and blip2 need nothing but the
stills.
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

from tinyworld.shipped import NETS

PARTS = ("vae", "diffusion", "reader", "clip", "blip2", *NETS)


def main() -> None:
    """Train what the command line names."""
    parser = argparse.ArgumentParser(prog="tinyworld.train", description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for stills, checkpoints, models"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads of torch")
    parser.add_argument("--stills", type=int, default=60_000)
    parser.add_argument("--steps", type=int, help="in place of each part's own")
    parser.add_argument("--batch", type=int, help="in place of each part's own")
    parser.add_argument(
        "--dtype",
        choices=["bf16", "fp32"],
        help="in place of each part's own, which is fp32 where a CPU has no kernels for bf16",
    )
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    import torch  # noqa: PLC0415 - seconds that --help need not pay

    from tinyworld.train.data import stills  # noqa: PLC0415
    from tinyworld.train.parts import train_part  # noqa: PLC0415

    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    data = stills(args.out, args.stills, seed=1)
    changes = {k: getattr(args, k) for k in ("steps", "batch") if getattr(args, k) is not None}
    if args.dtype is not None:
        changes["bf16"] = args.dtype == "bf16"
    for part in args.parts:
        train_part(part, data, changes, args.out, torch.device(args.device))


if __name__ == "__main__":
    main()
