"""Training as in the paper: its objective as modules, which several processes can share."""

import torch
from torch import Tensor, nn

from mcnet_cli.metrics import PerceptualDistance
from mcnet_cli.model import MCNet
from mcnet_cli.training.augment import Batch
from mcnet_cli.training.discriminator import Discriminator
from mcnet_cli.training.equivariance import RandomTransform
from mcnet_cli.training.moment import Moment, Terms
from mcnet_cli.training.objective import Objective, discriminator_objective, draw_noise, paper_objective
from mcnet_cli.training.objective_config import PaperLossWeights
from mcnet_cli.training.sampling import chance


class PaperObjective(nn.Module):
    """The loss of `model` on a batch, term by term; `last` is what it was computed from."""

    last: Objective

    def __init__(
        self,
        model: MCNet,
        discriminator: Discriminator | None,
        weights: PaperLossWeights,
        perceptual: PerceptualDistance | None,
    ) -> None:
        super().__init__()
        self.model, self.weights, self.perceptual = model, weights, perceptual
        self._critic = (
            discriminator,
        )  # in a tuple, lest it count as a part: it learns by `DiscriminatorObjective`

    def forward(self, batch: Batch, moment: Moment) -> Terms:
        """The weighted terms; those of weight 0 are left out."""
        device, chances = batch.driving.device, [chance(moment.seed, n, 5) for n in batch.numbers.tolist()]
        draws = [RandomTransform.draw(1, rng) for rng in chances]
        transform = RandomTransform(
            torch.cat([d.theta for d in draws]), torch.cat([d.weights for d in draws])
        )
        noise = torch.cat([draw_noise(self.model.config, 1, rng) for rng in chances])
        self.last = paper_objective(
            self.model,
            self._critic[0],
            self.perceptual,
            batch.source,
            batch.driving,
            transform.to(device),
            self.weights,
            noise.to(device),
        )
        return self.last.terms


class DiscriminatorObjective(nn.Module):
    """What the discriminator minimises, after the objective's forward pass."""

    def __init__(self, discriminator: Discriminator) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, batch: Batch, made: Objective) -> Tensor:
        """The loss on what `PaperObjective.last` holds for `batch`."""
        return discriminator_objective(self.discriminator, batch.driving, made)
