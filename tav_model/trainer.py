"""One step of tuning: the denoising loss (section 4.2 of arXiv 2212.11565), and AdamW."""

import torch
from diffusers import DDIMScheduler
from torch import Tensor
from torch.nn import functional

from tav_model.config import TuneConfig
from tav_model.control import Steering
from tav_model.residuals import Residuals
from tav_model.state import TuneState
from tav_model.unet import ClipUNet, tuned_parameters


class Trainer:
    """Optimiser, gradient scaler and the step that uses them, over one model's tuned parameters."""

    def __init__(
        self,
        unet: ClipUNet,
        scheduler: DDIMScheduler,
        config: TuneConfig,
        steering: Steering | None = None,
    ) -> None:
        """Make a fresh AdamW over the tuned parameters.

        Args:
            unet: the model to tune.
            scheduler: the noise schedule; its prediction type chooses the target.
            config: the optimiser's numbers.
            steering: frozen controls with the clip's maps, which steer the UNet.
        """
        self.unet = unet
        self.steering = steering
        self.scheduler = scheduler
        self.max_grad_norm = config.max_grad_norm
        tuned = tuned_parameters(unet)
        self.names, self.parameters = list(tuned), list(tuned.values())
        device = self.parameters[0].device.type
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
            eps=config.epsilon,
            fused=device in ("cpu", "cuda"),
        )
        self.scaler = torch.amp.GradScaler(device, enabled=unet.dtype == torch.float16)

    def loss(
        self,
        latents_BCFHW: Tensor,
        noise: Tensor,
        timesteps: Tensor,
        text: Tensor,
        frames: Tensor | None = None,
    ) -> Tensor:
        """Compute the denoising loss, all in fp32 but the UNet's inside.

        Args:
            latents_BCFHW: (B, C, F, H, W) fp32 clean latents.
            noise: the same shape.
            timesteps: (B,) int64.
            text: (B, L, text channels).
            frames: (F,) which of the clip's these are; none is all.

        Returns:
            The mean squared error against the noise, or the velocity for v-prediction models.
        """
        noisy = self.scheduler.add_noise(latents_BCFHW, noise, timesteps)
        target = noise
        if self.scheduler.config.prediction_type == "v_prediction":
            target = self.scheduler.get_velocity(latents_BCFHW, noise, timesteps)
        steering = self.steering

        def added(x: Tensor, t: Tensor | int, text: Tensor, _: object) -> Residuals | None:
            """Of the frames that were drawn, all of which the UNet sees at once."""
            return None if steering is None else steering.everywhere(x, t, text, frames)

        return functional.mse_loss(self.unet(noisy, timesteps, text, added), target)

    def step(
        self,
        latents_BCFHW: Tensor,
        noise: Tensor,
        timesteps: Tensor,
        text: Tensor,
        frames: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Do one optimiser step, without making the host wait for the device.

        Args:
            latents_BCFHW: (B, C, F, H, W) fp32 clean latents.
            noise: the same shape.
            timesteps: (B,) int64.
            text: (B, L, text channels).
            frames: (F,) which of the clip's these are; none is all.

        Returns:
            The loss before the step and the gradients' total norm before clipping.
        """
        loss = self.loss(latents_BCFHW, noise, timesteps, text, frames)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach(), norm

    def restore(self, state: TuneState) -> None:
        """Put optimiser and scaler where a state left them (the model's parameters stay)."""
        for name, p in zip(self.names, self.parameters, strict=True):
            self.optimizer.state[p] = {
                "step": state.adam_step[name].to(p.device, copy=True),
                # In the parameter's own memory format, as AdamW made them: a fused step goes
                # through the memory of all of them side by side.
                "exp_avg": torch.empty_like(p).copy_(state.exp_avg[name]),
                "exp_avg_sq": torch.empty_like(p).copy_(state.exp_avg_sq[name]),
            }
        if state.scaler:
            self.scaler.load_state_dict(dict(state.scaler))
