"""The networks that learn, their optimizers, and one training step."""

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
    tensors_below,
    update_average,
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
    """The network, the moving average `ema` of its weights, and what trains it."""

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
        if initial is not None:  # weights without detail painters leave them as they begin
            self.model.load_state_dict(self.model.state_dict() | initial)
        self.ema = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.model.kp_detector.requires_grad_(not config.keypoints.freeze)
        for name in config.model.painters:
            getattr(self.model, name).requires_grad_(False)  # they learn in stages of their own
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
        self.discriminator_objective = (
            group.parallel(DiscriminatorObjective(self.discriminator)) if self.discriminator else None
        )
        self.optimizers = {
            name: torch.optim.Adam(trained, config.learning_rate, betas=BETAS)
            for name, trained in self._groups().items()
        }

    def _groups(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by optimizer: one for the network or, as in the paper, one for each of three parts."""
        if self._paper is None:
            networks: dict[str, nn.Module] = {"model": self.model}
        else:
            networks = {"generator": self.model.generator, "kp_detector": self.model.kp_detector}
            if self.discriminator is not None:
                networks["discriminator"] = self.discriminator
        groups = {n: [p for p in net.parameters() if p.requires_grad] for n, net in networks.items()}
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
                    with self.compute.autocast():
                        terms: Terms = self.objective(batch, context)
                    total = torch.stack([term.float() for term in terms.values()]).sum()
                    found.append(_numbers(terms | {"total": total}))
                    # Before the backward pass: that of grid_sample, given NaN, writes outside of its memory.
                    if bad := self._first_bad(found[-1]):
                        return self._skipped(found[-1], bad, buffers)
                    (share * total).backward()  # type: ignore[no-untyped-call]
                if self.discriminator_objective is not None:
                    found[-1]["discriminator"] = self._teach_discriminator(batch, share, is_last=is_last)
        means = {name: sum(row[name] for row in found) / len(found) for name in found[0]}
        norms = _numbers({f"gradient of {name}": self._clip(name) for name in self.optimizers})
        if bad := self._first_bad(norms):
            return self._skipped(means | norms, bad, buffers)
        for optimizer in self.optimizers.values():
            optimizer.step()
        update_average(self.ema, self.model, self.config.optimizer.ema, context.step)
        return Step(means | norms, None)

    def _teach_discriminator(self, batch: Batch, share: float, *, is_last: bool) -> float:
        """Adds `share` of its gradient on what the objective has just made; returns its loss."""
        objective = self.discriminator_objective
        assert self._paper is not None and objective is not None
        with averaging(objective, wanted=is_last):
            with self.compute.autocast():
                loss: Tensor = objective(batch.driving, self._paper.last)
            (share * loss).backward()  # type: ignore[no-untyped-call]
        return loss.item()

    def _clip(self, name: str) -> Tensor:
        """Clips an optimizer's gradient, except the discriminator's; returns the norm before."""
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

    def render(self, source: Tensor, driving: Tensor) -> Composition:
        """Animates `source` by `driving` with `ema`, as `mcnet animate` would. Both are (B, 3, S, S)."""
        with torch.inference_mode(), self.compute.autocast():
            source = source.contiguous(memory_format=torch.channels_last)
            state, compositor = self.ema.encode_source(source), Compositor(self.ema)
            layers = compositor.layers(state)
            return compositor.compose(state, layers, self.ema.detect_keypoints(driving))

    def checkpoint(self, facts: dict[str, object]) -> Checkpoint:
        """All that the next step depends on."""
        weights = self.model.state_dict(prefix="model.")
        if self.discriminator is not None:
            weights |= self.discriminator.state_dict(prefix="discriminator.")
        state = self.ema.state_dict(prefix="ema.") | random_tensors()
        for name, optimizer in self.optimizers.items():
            state |= optimizer_tensors(name, optimizer)
        return Checkpoint(weights, state, facts)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Goes back to a checkpoint of the same configuration."""
        self.model.load_state_dict(tensors_below("model.", checkpoint.weights))
        self.ema.load_state_dict(tensors_below("ema.", checkpoint.state))
        if self.discriminator is not None:
            self.discriminator.load_state_dict(tensors_below("discriminator.", checkpoint.weights))
        for name, optimizer in self.optimizers.items():
            restore_optimizer(name, optimizer, checkpoint.state)
        restore_random(checkpoint.state)


def _numbers(tensors: Terms) -> dict[str, float]:
    """Scalars as floats; they come to the CPU in one transfer."""
    values = torch.stack([tensor.detach().float() for tensor in tensors.values()])
    return dict(zip(tensors, values.tolist(), strict=True))
