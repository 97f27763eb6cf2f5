"""Views on npu: they alias their base, carry its version counter, and gradients flow through writes to them, as on the CPU."""

import torch
from torch.testing._internal.common_device_type import dtypes, instantiate_device_type_tests
from torch.testing._internal.common_utils import TestCase, parametrize, subtest

#: name -> (shape of the base, view)
VIEWS = {
    "alias": ((3, 4), lambda x: torch.ops.aten.alias(x)),
    "as_strided": ((3, 4), lambda x: x.as_strided((2, 3), (4, 1), 1)),
    "chunk": ((5, 4), lambda x: x.chunk(2)[1]),
    "detach": ((3, 4), lambda x: x.detach()),
    "diagonal": ((3, 4), lambda x: x.diagonal(1)),
    "expand": ((3, 1), lambda x: x.expand(2, 3, 4)),
    "flatten": ((3, 4), lambda x: x.flatten()),
    "hsplit": ((3, 4), lambda x: x.hsplit(2)[1]),
    "index": ((3, 4), lambda x: x[1, ::2]),
    "mT": ((2, 3, 4), lambda x: x.mT),
    "movedim": ((2, 3, 4), lambda x: x.movedim(0, 2)),
    "narrow": ((3, 4), lambda x: x.narrow(1, 1, 2)),
    "permute": ((2, 3, 4), lambda x: x.permute(2, 0, 1)),
    "select": ((3, 4), lambda x: x.select(1, 2)),
    "slice": ((7, 4), lambda x: x[1:6:2]),
    "split": ((3, 4), lambda x: x.split([1, 2])[1]),
    "squeeze": ((3, 1, 4), lambda x: x.squeeze(1)),
    "swapaxes": ((3, 4), lambda x: x.swapaxes(0, 1)),
    "t": ((3, 4), lambda x: x.t()),
    "tensor_split": ((5, 4), lambda x: x.tensor_split(2)[0]),
    "transpose": ((3, 4), lambda x: x.transpose(0, 1)),
    "unbind": ((3, 4), lambda x: x.unbind(1)[2]),
    "unflatten": ((3, 4), lambda x: x.unflatten(1, (2, 2))),
    "unfold": ((7,), lambda x: x.unfold(0, 3, 2)),
    "unsqueeze": ((3, 4), lambda x: x.unsqueeze(1)),
    "view": ((3, 4), lambda x: x.view(2, 6)),
    "view_as": ((3, 4), lambda x: x.view_as(torch.empty(4, 3))),
    "view_dtype_wider": ((3, 4), lambda x: x.view(torch.int64)),
    "view_dtype_narrower": ((3, 4), lambda x: x.view(torch.int16)),
    "view_of_a_view": ((4, 6), lambda x: x.t()[1:5, 1:][::2]),
}
DIFFERENTIABLE = [name for name in VIEWS if not name.startswith("view_dtype") and name != "detach"]
#: whose elements overlap: torch refuses to write to them, where it can tell
OVERLAPPING = ("expand", "unfold")


def base(shape, device):
    return torch.arange(1.0, torch.Size(shape).numel() + 1).reshape(shape).to(device)


class TestViews(TestCase):
    @parametrize("name", [subtest(name, name=name) for name in VIEWS])
    def test_aliases(self, device, name):
        shape, view = VIEWS[name]
        x, expected_x = base(shape, device), base(shape, "cpu")
        y, expected = view(x), view(expected_x)
        self.assertEqual(y.untyped_storage().data_ptr(), x.untyped_storage().data_ptr())
        self.assertEqual((y.shape, y.stride(), y.storage_offset(), y.dtype), (expected.shape, expected.stride(), expected.storage_offset(), expected.dtype))
        self.assertEqual(y._is_view(), expected._is_view())
        self.assertIs(y._base if y._is_view() else x, x)
        x.mul_(3)
        expected_x.mul_(3)
        self.assertEqual(y.cpu(), expected)

    @parametrize("name", [subtest(name, name=name) for name in VIEWS if name not in OVERLAPPING])
    @dtypes(torch.float32, torch.int64)
    def test_writes_reach_the_base(self, device, dtype, name):
        shape, view = VIEWS[name]
        if "dtype" in name and dtype != torch.float32:
            return
        results = []
        for d in (device, "cpu"):
            x = base(shape, d).to(dtype)
            versions = [x._version]
            y = view(x)
            if y.dtype.is_floating_point or y.dtype == dtype:
                y.add_(1).mul_(2)
            y.zero_() if y.dim() == 0 else y[0].fill_(7)
            y.copy_(y.clone().flip(0) if y.dim() else y.clone())
            results.append((x.cpu(), y.cpu(), x._version - versions[0], y._version == x._version))
        self.assertEqual(results[0], results[1])

    def test_overlapping_writes_are_refused(self, device):
        shape, view = VIEWS["expand"]
        for write in (lambda t: t.add_(1), lambda t: t.copy_(t.clone()), lambda t: torch.add(t, 1, out=t), lambda t: t.zero_()):
            outcomes = []
            for d in (device, "cpu"):
                x = base(shape, d)
                try:
                    write(view(x))
                    outcomes.append(x.cpu())
                except RuntimeError as e:
                    outcomes.append(str(e).splitlines()[0][:60])
            self.assertEqual(outcomes[0], outcomes[1])

    @parametrize("name", [subtest(name, name=name) for name in DIFFERENTIABLE])
    def test_gradient_through_a_write(self, device, name):
        shape, view = VIEWS[name]
        grads = []
        for d in (device, "cpu"):
            leaf = base(shape, d).requires_grad_()
            x = leaf * 1.5
            y = view(x)
            if name not in OVERLAPPING and name not in ("chunk", "hsplit", "split", "tensor_split", "unbind"):  # of several views
                y.mul_(y.detach() + 2)
            (x * base(shape, d)).sum().backward(retain_graph=True)
            first = leaf.grad.clone()
            (view(leaf * leaf) * 3).sum().backward()
            grads.append((first.cpu(), leaf.grad.cpu()))
        self.assertEqual(grads[0], grads[1])

    def test_saved_for_backward_may_not_change(self, device):
        x = torch.ones(3, device=device, requires_grad=True)
        y = x.exp()
        y[:1].mul_(2)
        with self.assertRaisesRegex(RuntimeError, "has been modified by an inplace operation"):
            y.sum().backward()

    def test_leaf_may_not_be_written(self, device):
        x = torch.ones(3, device=device, requires_grad=True)
        with self.assertRaisesRegex(RuntimeError, "a view of a leaf Variable that requires grad is being used in an in-place operation"):
            x[:1].add_(1)
        with self.assertRaisesRegex(RuntimeError, "a leaf Variable that requires grad is being used in an in-place operation"):
            x.add_(1)
        with torch.no_grad():
            x[:1].add_(1)
        self.assertEqual(x.tolist(), [2.0, 1.0, 1.0])

    def test_several_outputs(self, device):
        x = (base((3, 2), device).requires_grad_() * 1)
        a, b = x.unbind(1)
        with self.assertRaisesRegex(RuntimeError, "is a view and is being modified inplace"):
            a.mul_(b)

    @dtypes(torch.complex64)
    def test_complex(self, device, dtype):
        results = []
        for d in (device, "cpu"):
            x = torch.tensor([[1 + 2j, 3 - 4j], [-1j, 2]], dtype=dtype).to(d)
            seen = [x.conj(), x.conj().imag, x.real, x.imag, torch.view_as_real(x), x.mH, x.conj().resolve_conj(), x.imag.neg()]
            x.real.fill_(5)
            torch.view_as_real(x)[0, 0, 1] = 9
            seen += [x, torch._neg_view(x.imag), x.conj()[0], torch.view_as_complex(torch.view_as_real(x).clone())]
            results.append([(t.cpu().resolve_conj().resolve_neg(), t.is_conj(), t.is_neg()) for t in seen])
        self.assertEqual(results[0], results[1])

    def test_strides_are_kept_or_refused(self, device):
        x = base((3, 4), device)
        with self.assertRaisesRegex(RuntimeError, "view size is not compatible"):
            x.t().view(12)
        self.assertEqual(x.t().reshape(12).cpu(), base((3, 4), "cpu").t().reshape(12))
        with self.assertRaisesRegex(RuntimeError, "shape .* is invalid for input of size"):
            x.view(5, 2)
        self.assertTrue(x.t().contiguous().is_contiguous())
        self.assertIs(x.contiguous(), x)
        channels_last = base((2, 3, 4, 5), device).to(memory_format=torch.channels_last)
        self.assertEqual(channels_last.stride(), (60, 1, 15, 3))
        self.assertEqual((channels_last + 1).cpu(), base((2, 3, 4, 5), "cpu") + 1)

    def test_resize_and_set(self, device):
        x = base((6,), device)
        y = x[2:]
        x.resize_(2, 2)
        self.assertEqual((x.tolist(), y.tolist()), ([[1.0, 2.0], [3.0, 4.0]], [3.0, 4.0, 5.0, 6.0]))
        z = torch.empty(0, device=device).set_(y.untyped_storage(), 1, (2, 2), (2, 1))
        self.assertEqual(z.tolist(), [[2.0, 3.0], [4.0, 5.0]])
        z.data = torch.ones(2, device=device)
        self.assertEqual(z.tolist(), [1.0, 1.0])


instantiate_device_type_tests(TestViews, globals())
