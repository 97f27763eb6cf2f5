"""The mechanics of autograd on npu: hooks, graphs kept and freed, checkpoints, anomaly mode, custom functions, forward mode."""

import gc
import threading

import torch
from torch.autograd import forward_ad
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.testing._internal.autograd_function_db import autograd_function_db
from torch.testing._internal.common_device_type import instantiate_device_type_tests, ops
from torch.testing._internal.common_utils import TestCase, parametrize, subtest
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

#: smooth functions of two inputs, for numerical gradients in float64
SMOOTH = {
    "mul": lambda x, y: x * y, "div": lambda x, y: x / (y.abs() + 1), "matmul": lambda x, y: x @ y.t(), "exp_sin": lambda x, y: (x.sin() * y).exp(),
    "softmax": lambda x, y: torch.softmax(x, 1) * y, "cat": lambda x, y: torch.cat([x, y * x], 1), "where": lambda x, y: torch.where(x > 0, x * y, y),
    "cumsum": lambda x, y: (x * y).cumsum(0), "index": lambda x, y: x[[1, 0, 1]] * y[:1], "norm": lambda x, y: (x * y + 2).norm(dim=1),
    "logsumexp": lambda x, y: (x - y).logsumexp(0), "layer_norm": lambda x, y: torch.nn.functional.layer_norm(x, (3,), y[0], y[1]),
    "view_write": lambda x, y: (x * 1).t()[1:].mul_(y.t()[1:]).t(), "gelu": lambda x, y: torch.nn.functional.gelu(x) * y,
    "var": lambda x, y: (x * y).var(1), "max": lambda x, y: (x * y).amax(1), "einsum": lambda x, y: torch.einsum("ij,kj->ik", x, y),
    "expand": lambda x, y: (x[:, :1].expand(2, 3) * y).sum(0), "scatter_add": lambda x, y: x.scatter_add(1, torch.zeros(2, 3, dtype=torch.int64, device=x.device), y),
}


def ones(device, *shape):
    return torch.ones(*shape, device=device, requires_grad=True)


class TestAutograd(TestCase):
    def test_hooks_in_order(self, device):
        seen = []
        x = ones(device, 2)
        y = x * 2
        y.register_hook(lambda g: seen.append("tensor") or g * 2)
        y.grad_fn.register_prehook(lambda gs: seen.append("prehook"))
        y.grad_fn.register_hook(lambda gi, go: seen.append("node"))
        x.register_post_accumulate_grad_hook(lambda p: seen.append(("accumulated", p.grad.tolist())))
        y.sum().backward()
        self.assertEqual(seen, ["tensor", "prehook", "node", ("accumulated", [4.0, 4.0])])

    def test_hook_removed(self, device):
        x = ones(device, 2)
        handle = x.register_hook(lambda g: g * 10)
        (x * 2).sum().backward()
        handle.remove()
        (x * 2).sum().backward()
        self.assertEqual(x.grad.tolist(), [22.0, 22.0])

    def test_module_hooks(self, device):
        layer, seen = torch.nn.Linear(2, 2).to(device), []
        layer.register_forward_pre_hook(lambda m, a: seen.append("pre"))
        layer.register_forward_hook(lambda m, a, o: seen.append("forward"))
        layer.register_full_backward_hook(lambda m, gi, go: seen.append(("backward", gi[0].shape, go[0].device.type)))
        layer(ones(device, 3, 2)).sum().backward()
        self.assertEqual(seen, ["pre", "forward", ("backward", (3, 2), "npu")])

    def test_graph_is_freed_or_kept(self, device):
        x = ones(device, 2)
        y = x.exp().sum()
        y.backward(retain_graph=True)
        y.backward()
        self.assertEqual(x.grad.cpu(), torch.ones(2).exp() * 2)
        with self.assertRaisesRegex(RuntimeError, "Trying to backward through the graph a second time"):
            y.backward()

    def test_saved_tensors_are_freed(self, device):
        x = ones(device, 1 << 16)
        gc.collect()  # what earlier tests left behind
        before = torch.npu.memory_allocated()
        y = x.exp()
        z = y.sum()
        z.backward()
        del y, z
        gc.collect()
        x.grad = None
        self.assertEqual(torch.npu.memory_allocated(), before)

    def test_grad_arguments(self, device):
        x, y = ones(device, 2), ones(device, 2)
        z = x * 3
        self.assertEqual([None if g is None else g.tolist() for g in torch.autograd.grad(z.sum(), (x, y), allow_unused=True)], [[3.0, 3.0], None])
        with self.assertRaisesRegex(RuntimeError, "appears to not have been used in the graph"):
            torch.autograd.grad((x * 3).sum(), (x, y))
        self.assertEqual(torch.autograd.grad((x * 3).sum(), (x, y), materialize_grads=True, allow_unused=True)[1].tolist(), [0.0, 0.0])
        with self.assertRaisesRegex(RuntimeError, "grad can be implicitly created only for scalar outputs"):
            (x * 3).backward()
        with self.assertRaisesRegex(RuntimeError, "does not require grad"):
            torch.ones(1, device=device).backward()
        batched = torch.autograd.grad(x * torch.tensor([2.0, 3.0], device=device), x, torch.eye(2, device=device), is_grads_batched=True)
        self.assertEqual(batched[0].tolist(), [[2.0, 0.0], [0.0, 3.0]])

    def test_gradient_must_be_on_the_device(self, device):
        x = ones(device, 2)
        with self.assertRaises(RuntimeError):
            (x * 2).backward(torch.ones(2))
        with self.assertRaises(RuntimeError):
            x.grad = torch.ones(2)

    def test_grad_modes(self, device):
        x = ones(device, 2)
        with torch.no_grad():
            self.assertFalse((x * 2).requires_grad)
            with torch.enable_grad():
                self.assertTrue((x * 2).requires_grad)
        with torch.inference_mode():
            y = x * 2
        self.assertTrue(y.is_inference())
        with self.assertRaisesRegex(RuntimeError, "Inference tensors cannot be saved for backward"):
            x * y
        with self.assertRaisesRegex(RuntimeError, "Inplace update to inference tensor outside InferenceMode"):
            y.add_(1)
        self.assertTrue((x + y.clone()).requires_grad)

    def test_retain_grad_and_accumulation(self, device):
        x = ones(device, 2)
        y = x * 2
        y.retain_grad()
        (y * 3).sum().backward()
        self.assertEqual((x.grad.tolist(), y.grad.tolist()), ([6.0, 6.0], [3.0, 3.0]))
        first = x.grad
        (x * 1).sum().backward()
        self.assertIs(x.grad, first)
        self.assertEqual(x.grad.tolist(), [7.0, 7.0])

    def test_double_backward(self, device):
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        g, = torch.autograd.grad((x ** 3).sum(), x, create_graph=True)
        g.square().sum().backward()
        self.assertEqual(x.grad.tolist(), [36.0, 288.0])

    def test_through_devices(self, device):
        x = torch.ones(2, requires_grad=True)
        (x.to(device).exp().cpu() * 2).sum().backward()
        self.assertEqual((x.grad, x.grad.device.type), (torch.ones(2).exp() * 2, "cpu"))
        y = ones(device, 2)
        (y.cpu() * torch.tensor([1.0, 2.0])).sum().backward()
        self.assertEqual((y.grad.tolist(), y.grad.device.type), ([1.0, 2.0], "npu"))

    @parametrize("reentrant", (True, False))
    def test_checkpoint(self, device, reentrant):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.5), torch.nn.Tanh(), torch.nn.Linear(4, 2)).to(device)
        grads = []
        for wrap in (lambda f, v: f(v), lambda f, v: checkpoint(f, v, use_reentrant=reentrant)):
            torch.manual_seed(1)
            x = ones(device, 3, 4)
            model.zero_grad()
            wrap(model, x).sum().backward()
            grads.append([x.grad.cpu()] + [p.grad.cpu() for p in model.parameters()])
        self.assertEqual(grads[0], grads[1])  # the dropout is drawn again as it was
        x = ones(device, 3, 4)
        checkpoint_sequential(model, 2, x, use_reentrant=reentrant).sum().backward()
        self.assertEqual(x.grad.shape, (3, 4))

    def test_anomaly_mode(self, device):
        x = torch.zeros(2, device=device, requires_grad=True)
        with torch.autograd.detect_anomaly(check_nan=True), self.assertRaisesRegex(RuntimeError, "SqrtBackward0.* returned nan values"):
            (x.sqrt() * 0).sum().backward()

    def test_saved_tensor_hooks(self, device):
        packed = []
        x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
        with saved_tensors_hooks(lambda t: packed.append(t.device.type) or t.cpu(), lambda t: t.to(device)):
            y = (x * x).exp()
        y.sum().backward()
        expected = 2 * torch.tensor([1.0, 2.0]) * torch.tensor([1.0, 4.0]).exp()
        self.assertEqual(x.grad.cpu(), expected)
        self.assertEqual(set(packed), {"npu"})
        x.grad = None
        with save_on_cpu():
            y = (x * x).exp()
        y.sum().backward()
        self.assertEqual(x.grad.cpu(), expected)

    def test_version_counters(self, device):
        x = torch.ones(2, device=device)
        self.assertEqual(x._version, 0)
        x.add_(1)
        x[:1] = 3
        torch.mul(x, 2, out=x)
        self.assertEqual(x._version, 3)
        self.assertEqual(x.detach()._version, 3)
        self.assertEqual(x.data._version, 0)
        torch._foreach_add_([x], 1)
        self.assertEqual(x._version, 4)

    def test_custom_function(self, device):
        class Clipped(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, limit):
                ctx.save_for_backward(x)
                ctx.limit = limit
                kept = x.clamp(-limit, limit)
                mask = x.abs() > limit
                ctx.mark_non_differentiable(mask)
                return kept, mask

            @staticmethod
            @torch.autograd.function.once_differentiable
            def backward(ctx, g, _):
                x, = ctx.saved_tensors
                return g * (x.abs() <= ctx.limit), None

        x = torch.tensor([0.5, 2.0], device=device, requires_grad=True)
        y, mask = Clipped.apply(x, 1.0)
        y.sum().backward()
        self.assertEqual((y.tolist(), mask.tolist(), x.grad.tolist()), ([0.5, 1.0], [False, True], [1.0, 0.0]))

        class Doubled(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.mark_dirty(x)
                return x.mul_(2)

            @staticmethod
            def backward(ctx, g):
                return g * 2

        leaf = ones(device, 2)
        x = leaf * 1
        self.assertIs(Doubled.apply(x), x)
        x.sum().backward()
        self.assertEqual(leaf.grad.tolist(), [2.0, 2.0])

    # NumpyExp_ writes through the memory it shares with numpy, which is the CPU's alone.
    @ops([op for op in autograd_function_db if op.name != "NumpyExpMarkDirtyAutogradFunction"], allowed_dtypes=(torch.float32,))
    def test_upstream_functions(self, device, dtype, op):
        for sample in op.sample_inputs("cpu", dtype, requires_grad=True):
            results = []
            for d in (device, "cpu"):
                s = sample.transform(lambda t: t.detach().to(d).requires_grad_(t.requires_grad) if isinstance(t, torch.Tensor) else t)
                output = op(s.input, *s.args, **s.kwargs)
                outputs = [o for o in (output if isinstance(output, tuple) else (output,)) if isinstance(o, torch.Tensor) and o.requires_grad]
                leaves = [t for t in (s.input, *s.args) if isinstance(t, torch.Tensor) and t.requires_grad]
                grads = torch.autograd.grad([o.sum() for o in outputs], leaves, allow_unused=True)
                results.append([t if t is None else t.detach().cpu() for t in (*outputs, *grads)])
            self.assertEqual(results[0], results[1])

    @parametrize("name", [subtest(name, name=name) for name in SMOOTH])
    def test_gradcheck(self, device, name):
        torch.manual_seed(2)
        x, y = (torch.randn(2, 3, dtype=torch.float64).to(device).requires_grad_() for _ in range(2))
        self.assertTrue(torch.autograd.gradcheck(SMOOTH[name], (x, y), check_forward_ad=True, check_batched_grad=False, fast_mode=True))
        self.assertTrue(torch.autograd.gradgradcheck(SMOOTH[name], (x, y), fast_mode=True))

    @parametrize("name", [subtest(name, name=name) for name in SMOOTH])
    def test_forward_mode(self, device, name):
        torch.manual_seed(3)
        primals, tangents = torch.randn(2, 2, 3), torch.randn(2, 2, 3)
        results = []
        for d in (device, "cpu"):
            with forward_ad.dual_level():
                duals = [forward_ad.make_dual(p.to(d), t.to(d)) for p, t in zip(primals, tangents)]
                unpacked = forward_ad.unpack_dual(SMOOTH[name](*duals))
                results.append((unpacked.primal.cpu(), unpacked.tangent.cpu()))
        self.assertEqual(results[0], results[1])

    def test_several_threads(self, device):
        x, errors = ones(device, 64), []
        expected = torch.ones(64).exp()

        def work():
            try:
                for _ in range(5):
                    y = x.detach().requires_grad_()
                    y.exp().sum().backward()
                    assert torch.allclose(y.grad.cpu(), expected)
            except Exception as e:
                errors.append(e)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(errors, [])

    def test_error_in_backward_leaves_the_device_usable(self, device):
        class Broken(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

            @staticmethod
            def backward(ctx, g):
                return torch.ones(5, device=g.device)

        x = ones(device, 2)
        with self.assertRaisesRegex(RuntimeError, "returned an invalid gradient"):
            Broken.apply(x).sum().backward()
        (x * 2).sum().backward()
        self.assertEqual(x.grad.tolist(), [2.0, 2.0])

    def test_streams_of_backward(self, device):
        stream = torch.npu.Stream()
        x = ones(device, 1 << 14)
        stream.wait_stream(torch.npu.current_stream())
        with torch.npu.stream(stream):
            y = x.exp().sum()
        y.backward()
        torch.npu.synchronize()
        self.assertEqual(x.grad.cpu(), torch.ones(1 << 14).exp())

    def test_backward_called_on_a_stream(self, device):
        stream = torch.npu.Stream()
        x = ones(device, 1 << 14)
        y = x.exp().sum()
        stream.wait_stream(torch.npu.current_stream())
        with torch.npu.stream(stream):
            y.backward()
            gradient = x.grad.clone()
        stream.synchronize()
        self.assertEqual(gradient.cpu(), torch.ones(1 << 14).exp())


instantiate_device_type_tests(TestAutograd, globals())
