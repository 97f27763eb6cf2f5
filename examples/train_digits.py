"""Trains a small convolutional network on the handwritten digits that scikit-learn ships.

    python examples/train_digits.py                   # on the npu
    python examples/train_digits.py --device cpu
    python examples/train_digits.py --compare cpu     # on the npu, then on the CPU, and their loss curves side by side

Plain PyTorch: the device is a string.
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from tqdm import tqdm

WANTED_ACCURACY = 0.97


class DigitNet(nn.Module):
    """8x8 grey images in, ten scores out."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(32 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x):
        return self.classifier(self.features(x))


def digits():
    """(images, labels) to train with, (images, labels) to test with."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(data.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    images, labels = images[order], labels[order]
    return (images[:1437], labels[:1437]), (images[1437:], labels[1437:])


def train(device, epochs, batch_size=64):
    """Returns (mean loss of each epoch, share of test images recognised). Seed and order of the data are the same on every device."""
    torch.manual_seed(0)
    order = torch.Generator().manual_seed(1)
    model = DigitNet().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    (images, labels), (test_images, test_labels) = digits()

    losses = []
    model.train()
    with tqdm(total=epochs * -(-len(labels) // batch_size), desc=f"training on {device}", unit="step") as progress:
        for _ in range(epochs):
            total = 0.0
            for batch in torch.randperm(len(labels), generator=order).split(batch_size):
                x, y = images[batch].to(device), labels[batch].to(device)
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(batch)
                progress.update()
            losses.append(total / len(labels))
            progress.set_postfix(loss=f"{losses[-1]:.4f}")

    model.eval()
    with torch.no_grad():
        recognised = model(test_images.to(device)).argmax(dim=1).cpu() == test_labels
    return losses, recognised.float().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="npu")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--compare", metavar="DEVICE", help="train there as well and compare the loss curves")
    args = parser.parse_args()
    if args.device.startswith("npu"):
        import torch_npu  # noqa: F401  torch finds it by itself from 2.5 on

    losses, accuracy = train(args.device, args.epochs)
    print(f"{args.device}: {accuracy:.2%} of the test images recognised")
    if args.compare:
        expected, _ = train(args.compare, args.epochs)
        print(f"{'epoch':>5}  {'loss on ' + args.device:>14}  {'loss on ' + args.compare:>14}  {'difference':>10}")
        for i, (a, b) in enumerate(zip(losses, expected), 1):
            print(f"{i:>5}  {a:>14.6f}  {b:>14.6f}  {abs(a - b):>10.1e}")
        # The devices may add in another order; what that does to float32 grows slowly with the number of steps.
        torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected), rtol=1e-3, atol=1e-4)
        print("the loss curves agree")
    if accuracy < WANTED_ACCURACY:
        raise SystemExit(f"less than {WANTED_ACCURACY:.0%}")


if __name__ == "__main__":
    main()
