"""Indexing on npu against the CPU: random expressions, reads, writes, accumulation, gradients and errors."""

import random

import numpy as np
import torch
from torch.testing import make_tensor
from torch.testing._internal.common_device_type import dtypes, instantiate_device_type_tests
from torch.testing._internal.common_utils import parametrize

from comparing import ComparingTestCase, attempt

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool)


def random_shape(rng):
    return tuple(rng.choice((0, 1, 2, 3, 4, 5)) if rng.random() < 0.15 else rng.choice((1, 2, 3, 4, 5))
                 for _ in range(rng.randint(1, 4)))


def random_slice(rng, size):
    return slice(rng.choice((None, rng.randint(-size - 1, size + 1))), rng.choice((None, rng.randint(-size - 1, size + 1))),
                 rng.choice((None, 1, 2, 3)))


def random_index(rng, shape):
    """A tuple of what torch takes between brackets; index tensors are on the CPU and share one shape."""
    common = rng.choice(((), (3,), (2, 2), (1,), (0,)))
    index, dim = [], 0
    while dim < len(shape):
        size, kind = shape[dim], rng.random()
        if kind < 0.1:
            index.append(None)
            continue
        if kind < 0.2 and Ellipsis not in [i for i in index if i is Ellipsis]:
            index.append(Ellipsis)
            dim = rng.randint(dim, len(shape))
            continue
        if kind < 0.35 and size:
            index.append(rng.randint(-size, size - 1))
        elif kind < 0.6 or not size:
            index.append(random_slice(rng, size))
        elif kind < 0.7 and rng.random() < 0.5:
            chosen = [rng.random() < 0.5 for _ in range(size)]
            if 0 < sum(chosen) == 1 or common == ():
                index.append(torch.tensor(chosen))
            else:
                index.append(random_slice(rng, size))
        else:
            shape_of_index = rng.choice((common, (1,) * len(common)))
            count = int(np.prod(shape_of_index))
            index.append(torch.tensor([rng.randint(-size, size - 1) for _ in range(count)],
                                      dtype=rng.choice((torch.int64, torch.int32))).reshape(shape_of_index))
        dim += 1
        if rng.random() < 0.1:
            break
    return tuple(index)


def moved(index, device):
    return tuple(i.to(device) if isinstance(i, torch.Tensor) else i for i in index)


class TestIndexing(ComparingTestCase):
    def each(self, seed, count=120):
        rng = random.Random(seed)
        for i in range(count):
            shape = random_shape(rng)
            yield f"{seed}/{i} {shape}", shape, random_index(rng, shape)

    @dtypes(*DTYPES)
    def test_read(self, device, dtype):
        for label, shape, index in self.each(1):
            x = make_tensor(shape, dtype=dtype, device="cpu")
            self.compare(f"{label} {index}", lambda: x.to(device)[moved(index, device)], lambda: x[index])
            self.compare(f"{label} CPU {index}", lambda: x.to(device)[index], lambda: x[index])  # indices may stay on the CPU

    @dtypes(torch.float32, torch.int64, torch.bool)
    def test_read_of_a_view(self, device, dtype):
        for label, shape, index in self.each(2, 60):
            x = make_tensor((*reversed(shape), 2), dtype=dtype, device="cpu")
            y = x.to(device)
            x, y = (t[..., 1].permute(*reversed(range(len(shape)))) for t in (x, y))
            self.compare(f"{label} {index}", lambda: y[moved(index, device)], lambda: x[index])

    @dtypes(*DTYPES)
    def test_write(self, device, dtype):
        for label, shape, index in self.each(3):
            x = make_tensor(shape, dtype=dtype, device="cpu")
            read, error = attempt(lambda: x[index])
            if error is not None:
                continue
            unique = not any(isinstance(i, torch.Tensor) and i.dtype != torch.bool for i in index)
            values = [True, torch.tensor(1).to(dtype)]
            if unique:  # of several writes to one place either may win
                values += [make_tensor(read.shape, dtype=dtype, device="cpu"), make_tensor(read.shape[-1:], dtype=dtype, device="cpu")]
            for value in values:
                def write(t, i, v):
                    t[i] = v
                    return t
                on_device = value.to(device) if isinstance(value, torch.Tensor) and value.dim() else value
                self.compare(f"{label} {index} = {value}", lambda: write(x.to(device), moved(index, device), on_device),
                             lambda: write(x.clone(), index, value))

    @dtypes(torch.float32, torch.int64)
    @parametrize("accumulate", (False, True))
    def test_index_put(self, device, dtype, accumulate):
        for label, shape, index in self.each(4, 80):
            index = tuple(i for i in index if isinstance(i, torch.Tensor))[:len(shape)]
            x = torch.arange(int(np.prod(shape))).reshape(shape).to(dtype)
            read, error = attempt(lambda: x[index])
            if error is not None or not index:
                continue
            value = torch.ones(read.shape).to(dtype) if not accumulate else torch.arange(read.numel()).reshape(read.shape).to(dtype)
            self.compare(f"{label} {index}", lambda: x.to(device).index_put(moved(index, device), value.to(device), accumulate),
                         lambda: x.index_put(index, value, accumulate))

    def test_gradient(self, device):
        for label, shape, index in self.each(5, 80):
            x = torch.randn(shape, requires_grad=True)
            y = x.detach().to(device).requires_grad_()
            if attempt(lambda: x[index])[1] is not None:
                continue
            expected = x[index]
            weights = torch.arange(1.0, expected.numel() + 1).reshape(expected.shape)
            (expected * weights).sum().backward()
            (y[moved(index, device)] * weights.to(device)).sum().backward()
            self.compare(f"{label} {index}", lambda: y.grad, lambda: x.grad)

    def test_out_of_range(self, device):
        x = torch.arange(12, device=device).reshape(3, 4)
        for index in (3, -4, (0, 4), (slice(None), -5), (0, 0, 0), (Ellipsis, 0, 0, 0)):
            with self.assertRaises(IndexError, msg=str(index)):
                x[index]
        for mask in (torch.ones(4, dtype=torch.bool), torch.ones(3, 3, dtype=torch.bool)):
            with self.assertRaisesRegex(IndexError, "The shape of the mask"):
                x[mask.to(device)]
        with self.assertRaises(IndexError):
            x[1.5]
        with self.assertRaises(ValueError):
            x[::-1]
        with self.assertRaisesRegex(RuntimeError, "shape mismatch"):
            x[torch.tensor([0, 1], device=device)] = torch.ones(3, 4, dtype=torch.int64, device=device)
        self.assertEqual((x + 1).cpu(), torch.arange(1, 13).reshape(3, 4))

    def test_like_numpy(self, device):
        a = np.arange(2 * 3 * 4).reshape(2, 3, 4)
        x = torch.from_numpy(a).to(device)
        for index in ((0,), (slice(None), 1), (Ellipsis, 2), (None, 1, Ellipsis), ([0, 1], [2, 0]), (slice(None), [0, 2], 1),
                      (a[:, 0, 0] > 3,), (slice(1, None), a[0, :, 0] > 0, slice(None, None, 2)), (a % 2 == 0,)):
            on_device = tuple(torch.from_numpy(np.ascontiguousarray(i)).to(device) if isinstance(i, np.ndarray) else i for i in index)
            self.assertEqual(x[on_device].cpu().numpy(), a[index], msg=str(index))
        self.assertEqual(np.take_along_axis(a, a % 3, 1), torch.take_along_dim(x, x % 3, 1).cpu().numpy())

    def test_conversions(self, device):
        x = torch.tensor([[0, 1], [2, 0]], device=device)
        self.assertEqual(x.nonzero().cpu(), torch.tensor([[0, 1], [1, 0]]))
        self.assertEqual([i.tolist() for i in x.nonzero(as_tuple=True)], [[0, 1], [1, 0]])
        self.assertEqual([0, 10, 20][x[1, 0]], 20)
        self.assertEqual([row.tolist() for row in x], [[0, 1], [2, 0]])
        self.assertTrue(2 in x)
        self.assertEqual(int(x[1, 0]), 2)
        self.assertRaises(RuntimeError, lambda: bool(x))


instantiate_device_type_tests(TestIndexing, globals())
