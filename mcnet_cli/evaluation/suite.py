"""Which metrics can be measured here, and why others can't."""

from dataclasses import dataclass

from mcnet_cli.devices import Compute
from mcnet_cli.errors import McnetError, UsageError, WeightsError
from mcnet_cli.evaluation.request import METRICS, RECONSTRUCTION, EvaluationRequest
from mcnet_cli.metrics import LPIPS, load_lpips
from mcnet_cli.weights import resolve_file

BACKBONE = "alexnet"
NO_IDENTITY = WeightsError(
    "it needs a face recognition network, and mcnet has none",
    hint="write the results with mcnet animate, and measure identity with a tool of your choice",
)
NO_TRUTH = UsageError(
    "it compares with real frames, and across people there are none",
    hint=f"take --protocol {RECONSTRUCTION}",
)


@dataclass(frozen=True, slots=True)
class Suite:
    """measured: names. skipped: the others, and what stands in their way. lpips: None if not measured."""

    measured: tuple[str, ...]
    skipped: dict[str, McnetError]
    lpips: LPIPS | None


def choose_suite(request: EvaluationRequest, compute: Compute) -> Suite:
    """Loads what the metrics need. The obstacle itself is raised if it stands in the way of all of them."""
    skipped: dict[str, McnetError] = {}
    lpips: LPIPS | None = None
    for name in request.wanted:
        if METRICS[name].needs_truth and request.protocol != RECONSTRUCTION:
            skipped[name] = NO_TRUTH
        elif name in ("aed", "csim"):
            skipped[name] = NO_IDENTITY
        elif name == "lpips":
            try:
                lpips = load_lpips(resolve_file(BACKBONE, fetch=request.fetch), compute.device)
            except WeightsError as error:
                skipped[name] = error
    measured = tuple(name for name in request.wanted if name not in skipped)
    if not measured:
        name, obstacle = next(iter(skipped.items()))
        raise type(obstacle)(f"--metrics {name}: {obstacle}", hint=obstacle.hint)
    return Suite(measured, skipped, lpips)
