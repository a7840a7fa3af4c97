"""Small nets of speech enhancement whose frames have channels and bands, written as public sources write them."""

# mypy: disable-error-code="no-any-return"
# Calls of modules have no type in torch.

import torch
from torch import Tensor, nn

CHANNELS, BANDS = 4, 6  # of the frames that the nets below take, [batch, channels, frames, bands]


class Bands(nn.Module):
    """A layer along time for each band, with the same weights and a state of its own (the inter part of a DPRNN)."""

    def __init__(self, kind: str = "GRU", channels: int = CHANNELS, hidden: int = 8, layers: int = 1) -> None:
        super().__init__()
        self.rnn = getattr(nn, kind)(channels, hidden, layers, batch_first=True)
        self.fc = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, frames, bands] -> the same."""
        batch, channels, frames, bands = x.shape
        y = x.permute(0, 3, 2, 1).reshape(batch * bands, frames, channels)
        y = self.fc(self.rnn(y)[0]).reshape(batch, bands, frames, channels)
        return x + y.permute(0, 3, 2, 1)


class BandsFirst(nn.Module):
    """The same with the bands before the batch, and time first."""

    def __init__(self, kind: str = "GRU", hidden: int = 8) -> None:
        super().__init__()
        self.rnn = getattr(nn, kind)(CHANNELS, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, frames, bands] -> [batch, frames, bands * hidden]."""
        batch, channels, frames, bands = x.shape
        y, _ = self.rnn(x.permute(2, 3, 0, 1).reshape(frames, bands * batch, channels))
        return y.reshape(frames, bands, batch, -1).permute(2, 0, 1, 3).flatten(2)


class AlongBands(nn.Module):
    """A layer along the bands of each frame (the intra part of a DPRNN)."""

    def __init__(self, kind: str = "GRU", channels: int = CHANNELS, hidden: int = 8, *, both: bool = True) -> None:
        super().__init__()
        self.rnn = getattr(nn, kind)(channels, hidden, batch_first=True, bidirectional=both)
        self.fc = nn.Linear(hidden * (1 + both), channels)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, frames, bands] -> the same."""
        batch, channels, frames, bands = x.shape
        y = x.permute(0, 2, 3, 1).reshape(batch * frames, bands, channels)
        y = self.fc(self.rnn(y)[0]).reshape(batch, frames, bands, channels)
        return x + y.permute(0, 3, 1, 2)


class DualPath(nn.Module):
    """Along the bands, then along time for each band, each with a norm, as in DPCRN."""

    def __init__(self, kind: str = "LSTM", channels: int = CHANNELS, bands: int = BANDS) -> None:
        super().__init__()
        self.intra, self.inter = AlongBands(kind, channels), Bands(kind, channels)
        self.norms = nn.ModuleList(nn.LayerNorm((bands, channels), eps=1e-8) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, frames, bands] -> the same."""
        for part, norm in zip((self.intra, self.inter), self.norms, strict=True):
            x = norm(part(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x


class GroupedRnn(nn.Module):
    """Two GRUs on halves of the features, as in GTCRN."""

    def __init__(self, inputs: int, hidden: int, *, both: bool = False) -> None:
        super().__init__()
        self.rnns = nn.ModuleList(
            nn.GRU(inputs // 2, hidden // 2, batch_first=True, bidirectional=both) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[batch, steps, features] -> [batch, steps, hidden]."""
        first, second = torch.chunk(x, 2, dim=-1)
        return torch.cat([self.rnns[0](first)[0], self.rnns[1](second)[0]], dim=-1)


class GroupedDualPath(nn.Module):
    """The DPGRNN of GTCRN."""

    def __init__(self, channels: int, bands: int) -> None:
        super().__init__()
        self.width, self.hidden = bands, channels
        self.intra_rnn, self.intra_fc = GroupedRnn(channels, channels // 2, both=True), nn.Linear(channels, channels)
        self.inter_rnn, self.inter_fc = GroupedRnn(channels, channels), nn.Linear(channels, channels)
        self.intra_ln = nn.LayerNorm((bands, channels), eps=1e-8)
        self.inter_ln = nn.LayerNorm((bands, channels), eps=1e-8)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, frames, bands] -> the same."""
        x = x.permute(0, 2, 3, 1)
        intra = x.reshape(x.shape[0] * x.shape[1], x.shape[2], x.shape[3])
        intra = self.intra_fc(self.intra_rnn(intra))
        intra = intra.reshape(x.shape[0], -1, self.width, self.hidden)
        out = x + self.intra_ln(intra)
        y = out.permute(0, 2, 1, 3)
        inter = y.reshape(y.shape[0] * y.shape[1], y.shape[2], y.shape[3])
        inter = self.inter_fc(self.inter_rnn(inter))
        inter = inter.reshape(y.shape[0], self.width, -1, self.hidden).permute(0, 2, 1, 3)
        return (out + self.inter_ln(inter)).permute(0, 3, 1, 2)


class Attention(nn.Module):
    """The temporal attention (TRA) of GTCRN: a gain of each channel from its energies."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.att_gru = nn.GRU(channels, channels * 2, 1, batch_first=True)
        self.att_fc = nn.Linear(channels * 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, frames, bands] -> the same."""
        energy = torch.mean(x.pow(2), dim=-1)
        at = torch.sigmoid(self.att_fc(self.att_gru(energy.transpose(1, 2))[0])).transpose(1, 2)
        return x * at[..., None]


class GroupedTemporal(nn.Module):
    """The GTConvBlock of GTCRN: sub-band features, a causal depthwise convolution, channels shuffled."""

    def __init__(self, channels: int, dilation: int, *, transposed: bool = False) -> None:
        super().__init__()
        conv = nn.ConvTranspose2d if transposed else nn.Conv2d
        half = channels // 2
        self.pad = 2 * dilation
        self.unfold = nn.Unfold(kernel_size=(1, 3), stride=(1, 1), padding=(0, 1))
        self.point1, self.norm1, self.act1 = conv(half * 3, channels, 1), nn.BatchNorm2d(channels), nn.PReLU()
        own = 2 * dilation if transposed else 0
        self.depth = conv(channels, channels, (3, 3), 1, (own, 1), dilation=(dilation, 1), groups=channels)
        self.norm2, self.act2 = nn.BatchNorm2d(channels), nn.PReLU()
        self.point2, self.norm3 = conv(channels, half, 1), nn.BatchNorm2d(half)
        self.attention = Attention(half)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, frames, bands] -> the same."""
        first, second = torch.chunk(x, 2, dim=1)
        wide = self.unfold(first).reshape(x.shape[0], first.shape[1] * 3, x.shape[2], x.shape[3])
        h = self.act1(self.norm1(self.point1(wide)))
        h = nn.functional.pad(h, [0, 0, self.pad, 0])
        h = self.act2(self.norm2(self.depth(h)))
        h = self.attention(self.norm3(self.point2(h)))
        shuffled = torch.stack([h, second], dim=1).transpose(1, 2).contiguous()
        return shuffled.flatten(1, 2)


class Gtcrn(nn.Module):
    """A small GTCRN on frames of three channels (magnitude, real, imaginary) and 33 bins."""

    def __init__(self, channels: int = 8, bins: int = 33) -> None:
        super().__init__()
        half = (bins + 1) // 2
        self.merge, self.split = nn.Linear(bins, bins, bias=False), nn.Linear(bins, bins, bias=False)
        self.en1 = nn.Sequential(nn.Conv2d(3, channels, (1, 5), (1, 2), (0, 2)), nn.BatchNorm2d(channels), nn.PReLU())
        self.en2 = nn.Sequential(
            nn.Conv2d(channels, channels, (1, 5), (1, 2), (0, 2), groups=2), nn.BatchNorm2d(channels), nn.PReLU()
        )
        self.en3 = GroupedTemporal(channels, 2)
        self.path = GroupedDualPath(channels, (half + 1) // 2)
        self.de3 = GroupedTemporal(channels, 2)
        self.de2 = nn.Sequential(
            nn.ConvTranspose2d(channels, channels, (1, 5), (1, 2), (0, 2), groups=2),
            nn.BatchNorm2d(channels),
            nn.PReLU(),
        )
        self.de1 = nn.Sequential(nn.ConvTranspose2d(channels, 2, (1, 5), (1, 2), (0, 2)), nn.BatchNorm2d(2), nn.Tanh())

    def forward(self, spec: Tensor) -> Tensor:
        """[batch, 3, frames, bins] -> a complex mask, [batch, 2, frames, bins]."""
        one = self.en1(self.merge(spec))
        two = self.en2(one)
        three = self.en3(two)
        deep = self.path(three)
        up = self.de2(self.de3(deep + three) + two)
        mask: Tensor = self.split(self.de1(up + one))
        return mask


class SubBand(nn.Module):
    """The two models of FullSubNet: one of all bins, then one for each bin with its neighbours."""

    def __init__(self, bins: int = 9, around: int = 2, hidden: int = 10) -> None:
        super().__init__()
        self.around = around
        self.full, self.full_fc = nn.LSTM(bins, hidden, 2, batch_first=True), nn.Linear(hidden, bins)
        self.sub, self.sub_fc = nn.LSTM(2 * around + 2, hidden, 2, batch_first=True), nn.Linear(hidden, 2)

    def forward(self, noisy: Tensor) -> Tensor:
        """[batch, 1, bins, frames] -> [batch, 2, bins, frames]."""
        batch, _, bins, frames = noisy.shape
        full = torch.relu(self.full_fc(self.full(noisy.reshape(batch, bins, frames).permute(0, 2, 1))[0]))
        full = full.permute(0, 2, 1).reshape(batch, 1, bins, frames)
        padded = nn.functional.pad(noisy, [0, 0, self.around, self.around], mode="reflect")
        near = torch.stack([padded[:, 0, at : at + bins] for at in range(2 * self.around + 1)], dim=2)
        both = torch.cat([near, full.permute(0, 2, 1, 3)], dim=2)
        y = both.reshape(batch * bins, 2 * self.around + 2, frames).permute(0, 2, 1)
        y = self.sub_fc(self.sub(y)[0]).permute(0, 2, 1)
        answer: Tensor = y.reshape(batch, bins, 2, frames).permute(0, 2, 1, 3)
        return answer


class Crn(nn.Module):
    """A causal CRN: an encoder over bins, an LSTM over all of them, a decoder of transposed convolutions with skips."""

    def __init__(self, bins: int = 17) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(inputs, outputs, (2, 3), (1, 2), (1, 1)) for inputs, outputs in ((1, 4), (4, 6))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in (4, 6))
        self.width = ((bins + 1) // 2 + 1) // 2
        self.lstm = nn.LSTM(6 * self.width, 6 * self.width, batch_first=True)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(inputs, outputs, (2, 3), (1, 2), (0, 1)) for inputs, outputs in ((12, 4), (8, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        """[batch, 1, frames, bins] -> the same."""
        skips = []
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = nn.functional.elu(norm(conv(x)[:, :, :-1]))
            skips.append(x)
        y = x.permute(0, 2, 1, 3).flatten(2)
        y = self.lstm(y)[0].reshape(x.shape[0], -1, 6, self.width).permute(0, 2, 1, 3)
        for up, skip in zip(self.ups, reversed(skips), strict=True):
            y = up(torch.cat([y, skip], dim=1))[:, :, :-1]
        return torch.sigmoid(y)


class DeepFilter(nn.Module):
    """The encoder and the band decoder of DeepFilterNet: separable convolutions, grouped linear layers, GRUs."""

    def __init__(self, channels: int = 8, bands: int = 8) -> None:
        super().__init__()
        self.pad = nn.ConstantPad2d((0, 0, 2, 0), 0.0)
        self.conv0 = nn.Sequential(
            self.pad, nn.Conv2d(1, channels, (3, 3), padding=(0, 1), bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        self.conv1, self.conv2 = self._separable(channels, 2), self._separable(channels, 2)
        self.inner = channels * bands // 4
        self.weight = nn.Parameter(torch.randn(4, self.inner // 4, 4) / 3)
        self.gru, self.out = nn.GRU(16, self.inner, batch_first=True), nn.Linear(self.inner, self.inner)
        self.lsnr = nn.Sequential(nn.Linear(self.inner, 1), nn.Sigmoid())
        self.up1 = self._up(channels)
        self.up0 = self._up(channels)
        self.last = nn.Sequential(nn.Conv2d(channels, 1, (1, 3), padding=(0, 1)), nn.Sigmoid())

    @staticmethod
    def _separable(channels: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, channels, (1, 3), (1, stride), (0, 1), groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )

    @staticmethod
    def _up(channels: int) -> nn.Sequential:
        return nn.Sequential(
            nn.ConvTranspose2d(
                channels, channels, (1, 3), (1, 2), (0, 1), output_padding=(0, 1), groups=channels, bias=False
            ),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )

    def forward(self, feat: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, 1, frames, bands] -> a gain of each band, [batch, 1, frames, bands], and one number per frame."""
        e0 = self.conv0(feat)
        e1 = self.conv1(e0)
        e2 = self.conv2(e1)
        emb = e2.permute(0, 2, 3, 1).flatten(2)
        grouped = emb.reshape(emb.shape[0], emb.shape[1], 4, -1)
        emb = torch.einsum("btgi,gih->btgh", grouped, self.weight).flatten(2)
        emb = torch.relu(self.out(self.gru(emb)[0]))
        deep = emb.reshape(emb.shape[0], emb.shape[1], e2.shape[3], -1).permute(0, 3, 1, 2)
        return self.last(self.up0(self.up1(deep + e2) + e1)), self.lsnr(emb)
