"""How good weights are: made clips against real ones, figures by clip, a report to look at."""

from mcnet_cli.evaluation.evaluate import evaluate
from mcnet_cli.evaluation.report import EvaluationReport
from mcnet_cli.evaluation.request import METRICS, PROTOCOLS, EvaluationRequest, Settings

__all__ = ["METRICS", "PROTOCOLS", "EvaluationReport", "EvaluationRequest", "Settings", "evaluate"]
