"""Wall time of a training step, npu against CPU eager, in one run.

    python benchmarks/training.py [--steps N] [--threads] [transformer resnet18 small]

`small` is a model of many small operators. Wall time swings with the machine, so the two devices take turns and the best step of each
counts: what else runs only adds. --threads adds the processor time of each thread per step, which other load on the machine hardly
changes, and how often it lost the processor (waiting + preempted).
"""

import argparse
import os
import sys
import time

import torch
import torch_npu  # noqa: F401
from torch import nn


def transformer():
    """4 layers, d=256, batch 8, sequence 128."""
    layer = nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 4, enable_nested_tensor=False), torch.randn(8, 128, 256)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        same = stride == 1 and inputs == outputs
        self.skip = nn.Identity() if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        return torch.relu(self.second(self.first(x)) + self.skip(x))


def resnet18():
    """ResNet-18 for images of 32x32, batch 16."""
    layers, width = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(width, outputs, stride), Block(outputs, outputs, 1)]
        width = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)), torch.randn(16, 3, 32, 32)


class Small(nn.Module):
    """A chain of 200 operators on 16x16 matrices."""

    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(16, 16) / 4) for _ in range(40))

    def forward(self, x):
        for w in self.weights:
            x = torch.tanh(x @ w + x) * 0.5 + w
        return x


def small():
    """40 layers of five operators on 16x16 matrices."""
    return Small(), torch.randn(16, 16)


#: model -> (its maker, most that npu / CPU may be)
MODELS = {"transformer": (transformer, 1.05), "resnet18": (resnet18, 1.05), "small": (small, 1.0)}


class Trainer:
    def __init__(self, model, batch, device):
        self.device = device
        self.model, self.batch = model.to(device), batch.to(device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3)

    def step(self):
        begin = time.perf_counter()
        loss = self.model(self.batch).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        value = loss.item()
        if self.device != "cpu":
            torch.npu.synchronize()
        return time.perf_counter() - begin, value


def thread_times():
    """{thread: (name, seconds of processor time, times it waited, times it was preempted)}"""
    table = {}
    for thread in os.listdir("/proc/self/task"):
        task = f"/proc/self/task/{thread}"
        with open(f"{task}/comm") as comm, open(f"{task}/schedstat") as times, open(f"{task}/status") as status:
            switches = [int(line.split()[1]) for line in status if "ctxt_switches" in line]
            table[thread] = (comm.read().strip(), int(times.read().split()[0]) / 1e9, *switches)
    return table


def print_threads(trainer, steps):
    before = thread_times()
    for _ in range(steps):
        trainer.step()
    for thread, (name, *after) in thread_times().items():
        _, *earlier = before.get(thread, ("", 0, 0, 0))
        seconds, waited, preempted = ((a - b) / steps for a, b in zip(after, earlier))
        if seconds > 1e-5:
            print(f"    {trainer.device:<4} {name:<16}{seconds * 1e3:>10.2f} ms{waited:>8.1f} + {preempted:.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--threads", action="store_true")
    parser.add_argument("models", nargs="*", default=list(MODELS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    missed = 0
    print(f"{'training step':<20}{'cpu ms':>10}{'npu ms':>10}{'npu/cpu':>9}{'bar':>7}")
    for name in args.models:
        make, bar = MODELS[name]
        trainers = []
        for device in ("cpu", "npu"):
            torch.manual_seed(0)
            trainers.append(Trainer(*make(), device))
        times = {trainer: [] for trainer in trainers}
        for step in range(args.steps + 2):
            for trainer in trainers:
                seconds, loss = trainer.step()
                if step >= 2:
                    times[trainer].append(seconds)
        cpu, npu = (min(times[t]) for t in trainers)
        missed += npu / cpu > bar
        print(f"{name:<20}{cpu * 1e3:>10.1f}{npu * 1e3:>10.1f}{npu / cpu:>9.2f}{bar:>7.2f}  {'met' if npu / cpu <= bar else 'NOT MET'}", flush=True)
        if args.threads:
            for trainer in trainers:
                print_threads(trainer, args.steps)
    for fallback in torch_npu.fallbacks():
        print("ran on the CPU:", fallback)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
