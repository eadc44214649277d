"""Which square a run cuts out: as the weights want it, or as the paper does."""

import logging

from mcnet_cli.errors import UsageError, shown
from mcnet_cli.face import Framing
from mcnet_cli.weights import NEVER, Fetch, resolve_weights, weights_framing

log = logging.getLogger(__name__)


def choose_framing(rule: str, weights: str | None = None, fetch: Fetch = NEVER) -> Framing:
    """The framing for a crop rule.

    weights: whose framing it is with the rule `framing`, as they are named everywhere; None for
    `$MCNET_WEIGHTS`, else `lite`. Weights that don't say how faces were cropped for them get the paper's
    square, as in `mcnet animate`. UsageError for weights with the rule `paper`, WeightsError if they can't be
    used.
    """
    if rule == "paper":
        if weights is not None:
            raise UsageError("--rule paper: crops the same for all weights", hint="leave out --weights")
        return Framing.PAPER
    path = resolve_weights(weights, fetch=fetch)
    framing = weights_framing(path)
    if framing is None:
        log.warning("%s doesn't say how it wants faces cropped: the paper's square is taken", shown(path))
        return Framing.PAPER
    return Framing(**framing)
