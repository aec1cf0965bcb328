"""A tuning in the middle: everything it needs to go on as if it had never stopped."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tav_model.errors import CheckpointError
from tav_model.files import writing

_FORMAT = "tav-tune-state-1"
_GROUPS = ("parameter", "exp_avg", "exp_avg_sq", "adam_step")


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneState:
    """State of one tuning after `step` steps. All tensors are on the CPU."""

    step: int
    parameters: dict[str, Tensor]
    """fp32 master weights by state-dict name."""
    exp_avg: dict[str, Tensor]
    """AdamW's running mean of the gradients."""
    exp_avg_sq: dict[str, Tensor]
    """AdamW's running mean of the squared gradients."""
    adam_step: dict[str, Tensor]
    """AdamW's own step counters; in fp16 they lag where an overflowing step was skipped."""
    rng: Tensor
    """State of the CPU generator that all draws come from, uint8."""
    losses: Tensor
    """(step,) fp32."""
    looks: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))
    """(n,) fp64, what `Stopper` saw; empty where nothing looks."""
    scaler: dict[str, float] = field(default_factory=dict)
    """fp16's gradient scaler; empty otherwise."""
    run: dict[str, str] = field(default_factory=dict)
    """What the tuning is of: base, prompt, seed, numbers. A state resumes only the same run."""

    def save(self, path: Path) -> None:
        """Write one safetensors file; it appears under its name only when it is whole.

        Args:
            path: file to write; its folder must exist.
        """
        tensors = {"rng": self.rng, "losses": self.losses}
        if self.looks.numel():
            tensors["looks"] = self.looks
        for group in _GROUPS:
            values: dict[str, Tensor] = getattr(
                self, "parameters" if group == "parameter" else group
            )
            tensors |= {f"{group}:{name}": t.contiguous() for name, t in values.items()}
        metadata = {
            "format": _FORMAT,
            "step": str(self.step),
            "scaler": json.dumps(self.scaler),
            "run": json.dumps(self.run),
        }
        with writing(path) as temporary:
            save_file(tensors, temporary, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> "TuneState":
        """Read a file that `save` wrote.

        Args:
            path: the file.

        Raises:
            CheckpointError: the file is missing, truncated, or of another format.
        """
        groups: dict[str, dict[str, Tensor]] = {group: {} for group in _GROUPS}
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != _FORMAT:
                    msg = f"{path.name} has format {metadata.get('format')!r}, not {_FORMAT!r}."
                    raise CheckpointError(msg)
                for key in file.keys():  # noqa: SIM118 (not a dict)
                    group, _, name = key.partition(":")
                    if name:
                        groups[group][name] = file.get_tensor(key)
                rng, losses = file.get_tensor("rng"), file.get_tensor("losses")
                looks = {"looks": file.get_tensor("looks")} if "looks" in file.keys() else {}  # noqa: SIM118
        except (OSError, SafetensorError) as err:
            msg = f"cannot read checkpoint {path.name}: {err}. Start the tuning anew."
            raise CheckpointError(msg) from err
        return cls(
            step=int(metadata["step"]),
            parameters=groups["parameter"],
            exp_avg=groups["exp_avg"],
            exp_avg_sq=groups["exp_avg_sq"],
            adam_step=groups["adam_step"],
            rng=rng,
            losses=losses,
            **looks,
            scaler=json.loads(metadata["scaler"]),
            run=json.loads(metadata["run"]),
        )


def to_host(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors to the CPU, never sharing memory with what training changes in place."""
    return {name: t.detach().to("cpu", copy=True) for name, t in tensors.items()}


def adam_tensors(optimizer: torch.optim.Optimizer, names: list[str], key: str) -> dict[str, Tensor]:
    """Take one kind of AdamW state out of an optimiser whose parameters are in `names` order."""
    parameters = optimizer.param_groups[0]["params"]
    pairs = zip(names, parameters, strict=True)
    return to_host({name: optimizer.state[p][key] for name, p in pairs})


def check_same_run(state: TuneState, run: dict[str, str]) -> None:
    """Refuse a state that is of another run.

    Raises:
        CheckpointError: it is; the message names what differs.
    """
    differing = [k for k in sorted(state.run | run) if state.run.get(k) != run.get(k)]
    if differing:
        k = differing[0]
        msg = (
            f"the checkpoint is of another run: {k} is {state.run.get(k)!r} there and "
            f"{run.get(k)!r} here ({len(differing)} differ in all). Start the tuning anew."
        )
        raise CheckpointError(msg)
