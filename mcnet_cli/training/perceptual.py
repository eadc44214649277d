"""The network that the perceptual loss compares by: VGG19 from a weights file, else the offline one."""

import logging
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcnet_cli.checkpoint.safetensors_file import FLOATS, read_header, read_tensors
from mcnet_cli.errors import WeightsError, shown
from mcnet_cli.files import require_regular_file
from mcnet_cli.installed import install_line
from mcnet_cli.metrics import PerceptualDistance, load_perceptual

logger = logging.getLogger(__name__)
# VGG19's convolutions by their number among `features`; each is followed by a ReLU.
CONVOLUTIONS = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256)}
CONVOLUTIONS |= {12: (256, 256), 14: (256, 256), 16: (256, 256), 19: (256, 512)}
CONVOLUTIONS |= {21: (512, 512), 23: (512, 512), 25: (512, 512), 28: (512, 512)}
POOLINGS = (4, 9, 18, 27)
LAYERS = (1, 6, 11, 20, 29)  # relu1_1, relu2_1, …, relu5_1


class VGG19(PerceptualDistance):
    """VGG19 up to relu5_1, the network of the paper."""

    name = "vgg19"
    relative = False
    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {str(number): nn.Conv2d(*channels, 3, padding=1) for number, channels in CONVOLUTIONS.items()}
        )
        for name, values in (("mean", [0.485, 0.456, 0.406]), ("deviation", [0.229, 0.224, 0.225])):
            self.register_buffer(name, torch.tensor(values).reshape(3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def features(self, image: Tensor) -> list[Tensor]:
        """relu1_1, relu2_1, …, relu5_1 of (B, 3, H, W) in [0, 1]; H and W at least 16."""
        x, found = (image - self.mean) / self.deviation, []
        for number in range(LAYERS[-1] + 1):
            if number in POOLINGS:
                x = F.max_pool2d(x, 2)
            elif number in CONVOLUTIONS:
                x = F.relu(self.layers[str(number)](x))
            if number in LAYERS:
                found.append(x)
        return found


def choose_perceptual(vgg19: Path | None) -> PerceptualDistance | None:
    """VGG19 from the file `vgg19`, else the offline network, and says which; else None, with a warning.

    WeightsError if the file can't be used: a network that was asked for is never replaced silently.
    """
    if vgg19 is not None:
        logger.info("perceptual network: VGG19 from %s", shown(vgg19))
        return load_vgg19(vgg19)
    network = load_perceptual()
    if network is None:
        how = install_line("train")
        logger.warning("no perceptual network, so pictures will be softer; this installs one: %s", how)
    else:
        logger.info("perceptual network: EfficientNet-Lite0, since VGG19's weights aren't here")
    return network


def load_vgg19(path: Path) -> VGG19:
    """VGG19 from a safetensors file with timm's or torchvision's names, `features.N.weight` and `.bias`.

    The classifier and the last convolutions are not read. WeightsError names the first thing wrong.
    """
    require_regular_file(path, error=WeightsError)
    header, network = read_header(path), VGG19()
    expected = {name.replace("layers.", "features."): tensor for name, tensor in network.state_dict().items()}
    for name, tensor in expected.items():
        if name not in header.shapes:
            raise WeightsError(f"{shown(path)} does not hold VGG19's features: missing {name}")
        if header.shapes[name] != tuple(tensor.shape):
            found = header.shapes[name]
            raise WeightsError(f"{shown(path)}: {name} has the shape {found}, not {tuple(tensor.shape)}")
        if header.dtypes[name] not in FLOATS:
            raise WeightsError(f"{shown(path)}: {name} has the type {header.dtypes[name]}, not a float")
    state = {}
    for name, tensor in read_tensors(path, expected).items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{shown(path)}: {name} holds values that are not finite (NaN or infinity)")
        state[name.replace("features.", "layers.")] = tensor.float()
    network.load_state_dict(state)
    return network
