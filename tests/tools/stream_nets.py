"""Small nets of noise suppression that take one frame per call, with caches of convolutions and states beside it."""

# mypy: disable-error-code="no-any-return"
# Calls of modules have no type in torch.

import torch
from torch import Tensor, nn

BINS, CHANNELS, TAPS = 33, 8, 3


class CachedConv(nn.Module):
    """A convolution over time and bins that gets the frames before its own, and returns those for the next call."""

    def __init__(self, inputs: int, outputs: int, dilation: int = 1, groups: int = 1, *, plain: bool = True) -> None:
        super().__init__()
        pad = 1 if plain else 0
        self.conv = nn.Conv2d(inputs, outputs, (TAPS, 3), padding=(0, pad), dilation=(dilation, 1), groups=groups)
        self.plain, self.frames = plain, (TAPS - 1) * dilation

    def forward(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """[1, channels, 1, bins] and the frames before -> the answer and the frames for the next call."""
        joined = torch.cat([cache, x], dim=2)
        padded = joined if self.plain else nn.functional.pad(joined, [1, 1, 0, 0])
        return self.conv(padded), joined[:, :, 1:]


class CachedBlock(nn.Module):
    """A temporal block of GTCRN: neighbouring bins, a depthwise convolution with its cache, attention over time."""

    def __init__(self, channels: int, dilation: int, *, plain: bool = True) -> None:
        super().__init__()
        half = channels // 2
        self.unfold = nn.Unfold(kernel_size=(1, 3), stride=(1, 1), padding=(0, 1))
        self.point1, self.norm1, self.act1 = nn.Conv2d(half * 3, channels, 1), nn.BatchNorm2d(channels), nn.PReLU()
        self.depth = CachedConv(channels, channels, dilation, channels, plain=plain)
        self.norm2, self.act2 = nn.BatchNorm2d(channels), nn.PReLU()
        self.point2, self.norm3 = nn.Conv2d(channels, half, 1), nn.BatchNorm2d(half)
        self.gru, self.fc = nn.GRU(half, half * 2, batch_first=True), nn.Linear(half * 2, half)

    def forward(self, x: Tensor, cache: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[1, channels, 1, bins], its cache, h [1, 1, channels] -> the same."""
        first, second = torch.chunk(x, 2, dim=1)
        wide = self.unfold(first).reshape(x.shape[0], first.shape[1] * 3, x.shape[2], x.shape[3])
        y, cache = self.depth(self.act1(self.norm1(self.point1(wide))), cache)
        y = self.norm3(self.point2(self.act2(self.norm2(y))))
        energy = torch.mean(y.pow(2), dim=-1).transpose(1, 2)
        at, h = self.gru(energy, h)
        y = y * torch.sigmoid(self.fc(at)).transpose(1, 2)[..., None]
        shuffled = torch.stack([y, second], dim=1).transpose(1, 2).contiguous()
        return shuffled.flatten(1, 2), cache, h


class GroupedGru(nn.Module):
    """Two GRUs on halves of the features; h has both."""

    def __init__(self, inputs: int, hidden: int, *, both: bool = False) -> None:
        super().__init__()
        self.hidden, self.ways = hidden, 1 + both
        self.first, self.second = (
            nn.GRU(inputs // 2, hidden // 2, batch_first=True, bidirectional=both) for _ in range(2)
        )

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """[rows, steps, features], h [directions, rows, hidden] -> the same."""
        if h is None:
            h = torch.zeros(self.ways, x.shape[0], self.hidden)
        x1, x2 = torch.chunk(x, 2, dim=-1)
        h1, h2 = torch.chunk(h, 2, dim=-1)
        y1, h1 = self.first(x1, h1.contiguous())
        y2, h2 = self.second(x2, h2.contiguous())
        return torch.cat([y1, y2], dim=-1), torch.cat([h1, h2], dim=-1)


class CachedDualPath(nn.Module):
    """The dual path of GTCRN: along the bins of a frame in both directions, then along time for each bin."""

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        self.bins, self.channels = bins, channels
        self.intra, self.intra_fc = GroupedGru(channels, channels // 2, both=True), nn.Linear(channels, channels)
        self.inter, self.inter_fc = GroupedGru(channels, channels), nn.Linear(channels, channels)
        self.norm1 = nn.LayerNorm((bins, channels), eps=1e-8)
        self.norm2 = nn.LayerNorm((bins, channels), eps=1e-8)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """[1, channels, 1, bins], h [1, bins, channels] -> the same."""
        x = x.permute(0, 2, 3, 1)
        intra = x.reshape(x.shape[0] * x.shape[1], x.shape[2], x.shape[3])
        intra = self.intra_fc(self.intra(intra)[0])
        out = x + self.norm1(intra.reshape(x.shape[0], -1, self.bins, self.channels))
        y = out.permute(0, 2, 1, 3)
        inter = y.reshape(y.shape[0] * y.shape[1], y.shape[2], y.shape[3])
        inter, h = self.inter(inter, h)
        inter = self.inter_fc(inter).reshape(x.shape[0], self.bins, -1, self.channels)
        return (out + self.norm2(inter.permute(0, 2, 1, 3))).permute(0, 3, 1, 2), h


class StreamGtcrn(nn.Module):
    """A small streaming GTCRN: a spectrum of one frame, and three caches of all its layers."""

    DILATIONS = (1, 2)

    def __init__(self) -> None:
        super().__init__()
        half = (BINS + 1) // 2
        self.bands, self.back = nn.Linear(BINS, BINS, bias=False), nn.Linear(BINS, BINS, bias=False)
        self.down = nn.Sequential(nn.Conv2d(3, CHANNELS, (1, 5), (1, 2), (0, 2)), nn.BatchNorm2d(CHANNELS), nn.PReLU())
        self.encoder = nn.ModuleList(CachedBlock(CHANNELS, dilation) for dilation in self.DILATIONS)
        self.paths = nn.ModuleList(CachedDualPath(CHANNELS, half) for _ in range(1))
        self.decoder = nn.ModuleList(CachedBlock(CHANNELS, d, plain=False) for d in reversed(self.DILATIONS))
        self.up = nn.Sequential(nn.ConvTranspose2d(CHANNELS, 2, (1, 5), (1, 2), (0, 2)), nn.BatchNorm2d(2), nn.Tanh())

    @staticmethod
    def caches() -> dict[str, Tensor]:
        """Return zeros for a start."""
        frames, half = 2 * sum(StreamGtcrn.DILATIONS), (BINS + 1) // 2
        return {
            "conv_cache": torch.zeros(2, 1, CHANNELS, frames, half),
            "tra_cache": torch.zeros(2, 2, 1, 1, CHANNELS),
            "inter_cache": torch.zeros(1, 1, half, CHANNELS),
        }

    def forward(
        self, mix: Tensor, conv_cache: Tensor, tra_cache: Tensor, inter_cache: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """[1, bins, 1, 2] and the caches -> the same."""
        real, imaginary = mix[..., 0].permute(0, 2, 1), mix[..., 1].permute(0, 2, 1)
        features = torch.stack([torch.sqrt(real**2 + imaginary**2 + 1e-12), real, imaginary], dim=1)
        x = self.down(self.bands(features))
        skip = x
        x = self._blocks(self.encoder, self.DILATIONS, x, conv_cache, tra_cache, 0)
        for i, path in enumerate(self.paths):
            x, inter_cache[i] = path(x, inter_cache[i])
        x = self._blocks(self.decoder, self.DILATIONS[::-1], x + skip, conv_cache, tra_cache, 1)
        mask = self.back(self.up(x))
        spec = mix.permute(0, 3, 2, 1)
        enhanced_real = spec[:, 0] * mask[:, 0] - spec[:, 1] * mask[:, 1]
        enhanced_imaginary = spec[:, 1] * mask[:, 0] + spec[:, 0] * mask[:, 1]
        enhanced = torch.stack([enhanced_real, enhanced_imaginary], dim=1)
        return enhanced.permute(0, 3, 2, 1), conv_cache, tra_cache, inter_cache

    @staticmethod
    def _blocks(  # noqa: PLR0917  as its authors write it
        blocks: nn.ModuleList, dilations: tuple[int, ...], x: Tensor, conv: Tensor, tra: Tensor, part: int
    ) -> Tensor:
        start = 0
        for i, (block, dilation) in enumerate(zip(blocks, dilations, strict=True)):
            end = start + 2 * dilation
            x, conv[part][:, :, start:end, :], tra[part][i] = block(x, conv[part][:, :, start:end, :], tra[part][i])
            start = end
        return x
