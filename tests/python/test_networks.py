"""Common networks trained for a few steps on npu as on the CPU: in float32, in mixed precision, and interrupted by saving and loading."""
import contextlib

import pytest
import torch
import torch_npu
from torch import nn

STEPS = 6


class Recurrent(nn.Module):
    """Tokens in, a score for each class from the last state."""

    def __init__(self, kind):
        super().__init__()
        self.words = nn.Embedding(12, 8)
        self.states = kind(8, 10, num_layers=2, batch_first=True)
        self.scores = nn.Linear(10, 4)

    def forward(self, tokens):
        return self.scores(self.states(self.words(tokens))[0][:, -1])


class Encoder(nn.Module):
    """Tokens in, a score for each class from the mean of the encoded sequence."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(12, 16), nn.Parameter(torch.randn(7, 16))
        layer = nn.TransformerEncoderLayer(16, 4, dim_feedforward=32, dropout=0.0, batch_first=True, activation="gelu")
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.scores = nn.Linear(16, 4)

    def forward(self, tokens):
        return self.scores(self.layers(self.words(tokens) + self.places).mean(dim=1))


class Recommender(nn.Module):
    """Sets of tokens in, of which one number is given for the first and a mean for all."""

    def __init__(self):
        super().__init__()
        self.bag, self.first = nn.EmbeddingBag(12, 8, mode="mean"), nn.Embedding(12, 8, padding_idx=0)
        self.scores = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.LayerNorm(16), nn.Linear(16, 4))

    def forward(self, tokens):
        return self.scores(torch.cat((self.bag(tokens), self.first(tokens[:, 0])), dim=1))


def convolutional():
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, groups=2), nn.BatchNorm2d(12), nn.SiLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4))


def perceptron():
    return nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 24), nn.GELU(), nn.Dropout(0.0), nn.Linear(24, 4))


def numbers(*shape):
    return lambda: torch.randn(32, *shape, generator=torch.Generator().manual_seed(2))


def tokens():
    return torch.randint(0, 12, (32, 7), generator=torch.Generator().manual_seed(2))


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True)


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1)


def adam(parameters):
    return torch.optim.Adam(parameters, lr=0.01)


#: {name: (model, input, optimizer)}
NETWORKS = {
    "perceptron": (perceptron, numbers(6), sgd),
    "convolutional": (convolutional, numbers(2, 8, 8), sgd),
    "LSTM": (lambda: Recurrent(nn.LSTM), tokens, adam),
    "GRU": (lambda: Recurrent(nn.GRU), tokens, adam),
    "encoder": (Encoder, tokens, sgd),  # Adam would make steps of the noise in the gradient of the bias of keys, which is zero
    "recommender": (Recommender, tokens, adamw),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


class Run:
    """A network in training. ``dtype``: that of autocast, or None for float32 alone."""

    def __init__(self, name, device, dtype=None):
        make, self.input, optimizer = NETWORKS[name]
        torch.manual_seed(1)
        self.model = make().to(device)
        self.device, self.dtype = device, dtype
        self.optimizer = optimizer(self.model.parameters())
        self.scaler = torch.npu.amp.GradScaler(init_scale=2.0**10, growth_interval=2, enabled=dtype is torch.float16)
        self.losses = []

    def step(self, spoil=False):
        x, y = self.input().to(self.device), (torch.arange(32) % 4).to(self.device)
        self.optimizer.zero_grad()
        with torch.autocast("npu", dtype=self.dtype) if self.dtype else contextlib.nullcontext():
            scores = self.model(x)
            loss = nn.functional.cross_entropy(scores, y)
        assert scores.dtype is (self.dtype or torch.float32) and loss.dtype is torch.float32
        self.scaler.scale(loss).backward()
        if spoil:
            next(self.model.parameters()).grad.view(-1)[0] = torch.inf
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.losses.append(loss.item())

    def train(self, steps=STEPS):
        torch_npu.reset_fallbacks()
        for _ in range(steps):
            self.step()
        assert not torch_npu.fallbacks(), "computed on the CPU"
        return self

    def state(self):
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}

    def load(self, state):
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])


def assert_alike(actual, expected, tolerance):
    """Parameters and running statistics."""
    actual, expected = actual.model.state_dict(), expected.model.state_dict()
    assert list(actual) == list(expected)
    for key, value in actual.items():
        torch.testing.assert_close(value.cpu(), expected[key].cpu(), atol=tolerance, rtol=tolerance, msg=lambda text: f"{key}: {text}")


@every_network
def test_training(name):
    expected, actual = Run(name, "cpu").train(), Run(name, "npu").train()
    assert actual.losses == pytest.approx(expected.losses, rel=1e-4)
    assert actual.losses[-1] < actual.losses[0]
    assert_alike(actual, expected, 1e-4)
    x = actual.input()
    with torch.no_grad():
        torch.testing.assert_close(actual.model.eval()(x.npu()).cpu(), expected.model.eval()(x), atol=1e-3, rtol=1e-3)


@every_network
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_mixed_precision(name, dtype):
    expected, actual = Run(name, "cpu").train(), Run(name, "npu", dtype).train()
    precision = torch.finfo(dtype).eps
    assert actual.losses == pytest.approx(expected.losses, rel=8 * precision)
    assert actual.losses != pytest.approx(expected.losses, rel=1e-6)  # which float32 would give
    assert actual.losses[-1] < actual.losses[0]
    if dtype is torch.float16:
        assert actual.scaler.get_scale() == 2.0**10 * 2 ** (STEPS // 2)  # no step was left out


@every_network
def test_steps_with_infinite_gradients_are_left_out(name):
    run = Run(name, "npu", torch.float16).train(1)
    before = [p.detach().clone() for p in run.model.parameters()]
    run.step(spoil=True)
    assert run.scaler.get_scale() == 2.0**9
    assert all(torch.equal(p, old) for p, old in zip(run.model.parameters(), before))
    run.step()
    assert not any(torch.equal(p, old) for p, old in zip(run.model.parameters(), before))


@every_network
@pytest.mark.parametrize("dtype", [None, torch.float16], ids=["float32", "float16"])
def test_training_goes_on_after_saving_and_loading(name, dtype, tmp_path):
    run = Run(name, "npu", dtype).train(2)
    torch.save(run.state(), tmp_path / "state.pt")
    run.train(2)

    torch.manual_seed(5)
    again = Run(name, "npu", dtype)
    state = torch.load(tmp_path / "state.pt")
    assert {t.device.type for t in state["model"].values()} == {"npu"}
    again.load(state)
    again.train(2)
    assert_alike(again, run, 0)
    assert again.scaler.state_dict() == run.scaler.state_dict()

    on_cpu = Run(name, "cpu")
    state = torch.load(tmp_path / "state.pt", map_location="cpu")
    assert {t.device.type for t in state["model"].values()} == {"cpu"}
    on_cpu.load(state)
    for value, saved in zip(on_cpu.model.state_dict().values(), torch.load(tmp_path / "state.pt")["model"].values()):
        assert torch.equal(value, saved.cpu())


def test_batches_from_pinned_memory():
    x, y = torch.randn(40, 6, generator=torch.Generator().manual_seed(2)), torch.arange(40) % 4
    runs = []
    for device, options in (("cpu", {}), ("npu", {"pin_memory": True}), ("npu", {"pin_memory": True, "num_workers": 1})):
        torch.manual_seed(1)
        model = perceptron().to(device)
        optimizer = sgd(model.parameters())
        for images, labels in torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=8, **options):
            assert images.is_pinned() == labels.is_pinned() == (device == "npu")
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images.to(device, non_blocking=True)), labels.to(device, non_blocking=True)).backward()
            optimizer.step()
        runs.append([p.detach().cpu() for p in model.parameters()])
    for parameters in runs[1:]:
        for actual, expected in zip(parameters, runs[0]):
            torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)
