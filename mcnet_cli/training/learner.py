"""The networks that learn, their optimizers, and one step of them."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mcnet_cli.compositing import Composition, Compositor
from mcnet_cli.devices import Compute
from mcnet_cli.metrics import PerceptualDistance
from mcnet_cli.model import MCNet
from mcnet_cli.training.augment import Batch
from mcnet_cli.training.checkpoints import (
    Checkpoint,
    optimizer_tensors,
    random_tensors,
    restore_optimizer,
    restore_random,
    seed_random,
)
from mcnet_cli.training.config import RunConfig
from mcnet_cli.training.discriminator import Discriminator
from mcnet_cli.training.landmark_objective import LandmarkObjective
from mcnet_cli.training.objective_config import PaperLossWeights
from mcnet_cli.training.paper_objective import DiscriminatorObjective, PaperObjective, Terms
from mcnet_cli.training.process_group import ProcessGroup, averaging, failing_together
from mcnet_cli.training.sampling import TrainingContext

BETAS = (0.5, 0.999)


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one step.

    terms: loss terms, their `total`, and the norm of the gradient of each optimizer.
    bad: the name of the first that isn't finite, for which the step was skipped; None if all are.
    """

    terms: dict[str, float]
    bad: str | None


class Learner:
    """The network, its moving average `ema`, and what changes both: objective, optimizers, discriminator."""

    def __init__(
        self,
        config: RunConfig,
        compute: Compute,
        group: ProcessGroup,
        perceptual: PerceptualDistance | None,
        initial: dict[str, Tensor] | None = None,
    ) -> None:
        """initial: weights to begin with, as `read_weights` gives them."""
        seed_random(config.seed)
        self.config, self.compute, self.group = config, compute, group
        self.model = MCNet(config.model).to(compute.device).channels_last()
        if initial is not None:  # weights without a detail painter leave it as it begins
            self.model.load_state_dict(self.model.state_dict() | initial)
        self.ema = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.model.kp_detector.requires_grad_(not config.keypoints.freeze)
        if self.model.painter is not None:
            self.model.painter.requires_grad_(False)  # it learns in a stage of its own
        self.perceptual = perceptual
        if perceptual is not None:
            perceptual = perceptual.to(compute.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.discriminator: Discriminator | None = None
        if isinstance(config.losses, PaperLossWeights):
            if config.losses.gan:
                self.discriminator = Discriminator(config.model.keypoints.count).to(compute.device)
            made = PaperObjective(self.model, self.discriminator, config.losses, perceptual)
            self._paper: PaperObjective | None = made
            self.objective = group.parallel(made)
        else:
            self._paper = None
            self.objective = group.parallel(
                LandmarkObjective(self.model, config.losses, config.keypoints, perceptual)
            )
        self.judge = (
            group.parallel(DiscriminatorObjective(self.discriminator)) if self.discriminator else None
        )
        self.optimizers = {
            name: torch.optim.Adam(trained, config.learning_rate, betas=BETAS)
            for name, trained in self._groups().items()
        }

    def _groups(self) -> dict[str, list[nn.Parameter]]:
        """One optimizer for the whole network; as in the paper, one for each of the three."""
        if self._paper is None:
            networks: dict[str, nn.Module | None] = {"model": self.model}
        else:
            networks = {"generator": self.model.generator, "kp_detector": self.model.kp_detector}
            networks["discriminator"] = self.discriminator
        groups = {
            name: [p for p in n.parameters() if p.requires_grad]
            for name, n in networks.items()
            if n is not None
        }
        return {name: group for name, group in groups.items() if group}

    @property
    def trained(self) -> dict[str, int]:
        """How many tensors each optimizer changes."""
        return {name: len(optimizer.param_groups[0]["params"]) for name, optimizer in self.optimizers.items()}

    def update(self, batches: Sequence[Batch], context: TrainingContext) -> Step:
        """One step of the optimizers on all `batches`. One that isn't finite is skipped, by all processes."""
        config = self.config
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
            rate = config.schedule.rate(context.step, context.progress)
            optimizer.param_groups[0]["lr"] = config.learning_rate * rate
        buffers = [buffer.clone() for buffer in self.model.buffers()]
        self.model.train()
        self.model.kp_detector.train(not config.keypoints.freeze)
        found = []
        with failing_together():
            for number, batch in enumerate(batches):
                is_last, share = number + 1 == len(batches), 1 / len(batches)
                with averaging(self.objective, wanted=is_last):
                    with self.autocast():
                        terms: Terms = self.objective(batch, context)
                    total = torch.stack([term.float() for term in terms.values()]).sum()
                    found.append(_numbers(terms | {"total": total}))
                    # before the gradients: those of sampling at no numbers write anywhere in memory
                    if bad := self._first_bad(found[-1]):
                        return self._skipped(found[-1], bad, buffers)
                    (share * total).backward()  # type: ignore[no-untyped-call]
                if self.judge is not None:
                    found[-1]["discriminator"] = self._judge(self.judge, batch, share, is_last=is_last)
        means = {name: sum(row[name] for row in found) / len(found) for name in found[0]}
        norms = _numbers({f"gradient of {name}": self._clip(name) for name in self.optimizers})
        if bad := self._first_bad(norms):
            return self._skipped(means | norms, bad, buffers)
        for optimizer in self.optimizers.values():
            optimizer.step()
        self._average(context.step)
        return Step(means | norms, None)

    def _judge(self, judge: nn.Module, batch: Batch, share: float, *, is_last: bool) -> float:
        """The discriminator's loss and gradients, on what the objective has just made."""
        assert self._paper is not None
        with averaging(judge, wanted=is_last):
            with self.autocast():
                loss: Tensor = judge(batch.driving, self._paper.last)
            (share * loss).backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def _clip(self, name: str) -> Tensor:
        """Shortens an optimizer's gradient, but for the discriminator's; returns its length before."""
        most = math.inf if name == "discriminator" else self.config.optimizer.clip_norm
        return nn.utils.clip_grad_norm_(self.optimizers[name].param_groups[0]["params"], most)

    def _first_bad(self, values: dict[str, float]) -> str | None:
        """The first of `values` that isn't finite, in any process; None if all are."""
        bad = next((name for name, value in values.items() if not math.isfinite(value)), None)
        anywhere = any(self.group.largest(float(bad is not None)))
        return bad or ("a term of another process" if anywhere else None)

    def _skipped(self, terms: dict[str, float], bad: str, buffers: Sequence[Tensor]) -> Step:
        for buffer, before in zip(self.model.buffers(), buffers, strict=True):
            buffer.copy_(before)  # batch norms have seen what isn't finite
        return Step(terms, bad)

    def autocast(self) -> torch.autocast:
        """The run's numbers, where they are narrower than float32."""
        return self.compute.autocast()

    @torch.no_grad()
    def _average(self, step: int) -> None:
        decay = min(self.config.optimizer.ema, (1 + step) / (10 + step))
        for kept, now in zip(self.ema.state_dict().values(), self.model.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(now, 1 - decay)
            else:
                kept.copy_(now)

    def render(self, source: Tensor, driving: Tensor) -> Composition:
        """The frames that users would get: `source` moves like `driving`, by `ema`. Both are (B, 3, S, S)."""
        with torch.inference_mode(), self.autocast():
            source = source.contiguous(memory_format=torch.channels_last)
            state, compositor = self.ema.encode_source(source), Compositor(self.ema)
            layers = compositor.layers(state)
            return compositor.compose(state, layers, self.ema.detect_keypoints(driving))

    def checkpoint(self, facts: dict[str, object]) -> Checkpoint:
        """All that the next step depends on."""
        weights = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        if self.discriminator is not None:
            weights |= {f"discriminator.{name}": t for name, t in self.discriminator.state_dict().items()}
        state = {f"ema.{name}": tensor for name, tensor in self.ema.state_dict().items()} | random_tensors()
        for name, optimizer in self.optimizers.items():
            state |= optimizer_tensors(name, optimizer)
        return Checkpoint(weights, state, facts)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Goes back to a checkpoint of the same configuration."""
        self.model.load_state_dict(_below("model", checkpoint.weights))
        self.ema.load_state_dict(_below("ema", checkpoint.state))
        if self.discriminator is not None:
            self.discriminator.load_state_dict(_below("discriminator", checkpoint.weights))
        for name, optimizer in self.optimizers.items():
            restore_optimizer(name, optimizer, checkpoint.state)
        restore_random(checkpoint.state)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")
    }


def _numbers(tensors: Terms) -> dict[str, float]:
    """Scalars, brought to the CPU together."""
    values = torch.stack([tensor.detach().float() for tensor in tensors.values()])
    return dict(zip(tensors, values.tolist(), strict=True))
