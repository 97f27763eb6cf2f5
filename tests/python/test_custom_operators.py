"""Operators of the npu namespace, against what torch computes on the CPU."""
import pytest
import torch
import torch.nn.functional as F

import torch_npu

HEADS, SIZE = 4, 8
TO_LAYOUT = {
    "BNSD": lambda t: t,
    "BSND": lambda t: t.transpose(1, 2),
    "BSH": lambda t: t.transpose(1, 2).flatten(2),
    "SBH": lambda t: t.permute(2, 0, 1, 3).flatten(2),
}


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def inputs(targets=6, sources=9, key_heads=HEADS):
    """query, key, value as [batch, heads, length, size], leaves of the CPU."""
    shapes = (2, HEADS, targets, SIZE), (2, key_heads, sources, SIZE), (2, key_heads, sources, SIZE)
    return [randn(*shape, seed=i).requires_grad_() for i, shape in enumerate(shapes)]


def expected(q, k, v, allowed=None, bias=None):
    k, v = (t.repeat_interleave(HEADS // t.shape[1], 1) for t in (k, v))
    mask = bias if bias is not None else torch.zeros(1)
    if allowed is not None:
        mask = mask + torch.zeros(allowed.shape).masked_fill(~allowed, -torch.inf)
    return F.scaled_dot_product_attention(q, k, v, None if allowed is None and bias is None else mask.expand(*q.shape[:3], k.shape[2]), scale=0.5)


def check(layout, leaves, wanted, tolerance=1e-5, **arguments):
    to = TO_LAYOUT[layout]
    moved = [to(t).detach().npu().requires_grad_() for t in leaves]
    out, maximum, total, _, _, _, scores = torch_npu.npu_fusion_attention(*moved, HEADS, layout, scale=0.5, **arguments)
    torch.testing.assert_close(out.cpu(), to(wanted), atol=tolerance, rtol=tolerance)
    batch, _, targets, _ = leaves[0].shape
    assert maximum.shape == total.shape == (batch, HEADS, targets, 8) and maximum.dtype == torch.float32
    assert scores == batch * HEADS * targets * leaves[1].shape[2]
    g = randn(*wanted.shape, seed=9)
    out.backward(to(g).npu())
    for ours, cpu in zip(moved, torch.autograd.grad(wanted, leaves, g)):
        torch.testing.assert_close(ours.grad.cpu(), to(cpu), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("layout", TO_LAYOUT)
def test_layouts(layout):
    leaves = inputs()
    check(layout, leaves, expected(*leaves))


def test_few_key_heads():
    leaves = inputs(key_heads=2)
    check("BSH", leaves, expected(*leaves))


def test_masks():
    leaves = inputs()
    hidden = randn(2, 1, 6, 9, seed=5) > 1
    check("BNSD", leaves, expected(*leaves, allowed=~hidden), atten_mask=hidden.npu())
    check("BNSD", leaves, expected(*leaves, allowed=~hidden), atten_mask=hidden.to(torch.uint8).npu())


@pytest.mark.parametrize("mode, diagonal", [(2, 0), (3, 3)])
def test_causal(mode, diagonal):
    leaves, compressed = inputs(), torch.ones(2048, 2048, dtype=torch.bool).triu(1).npu()
    allowed = torch.ones(6, 9, dtype=torch.bool).tril(diagonal)
    check("BSND", leaves, expected(*leaves, allowed=allowed), atten_mask=compressed, sparse_mode=mode)


def test_scores_are_shifted_before_they_are_scaled():
    leaves, pse = inputs(), randn(1, HEADS, 6, 9, seed=7)
    check("BNSD", leaves, expected(*leaves, bias=0.5 * pse), pse=pse.npu())
    trained = pse.npu().requires_grad_()
    torch_npu.npu_fusion_attention(*(t.detach().npu() for t in leaves), HEADS, "BNSD", pse=trained, scale=0.5)[0].sum().backward()
    reference = pse.clone().requires_grad_()
    expected(*leaves, bias=0.5 * reference).sum().backward()
    torch.testing.assert_close(trained.grad.cpu(), reference.grad, atol=1e-5, rtol=1e-5)


def test_packed_sequences():
    """Layout TND: what transformers calls with attention on unpadded batches."""
    ends, key_ends = [3, 4, 10], [5, 6, 12]
    leaves = [randn(n, heads, SIZE, seed=i).requires_grad_() for i, (n, heads) in enumerate([(10, HEADS), (12, 2), (12, 2)])]
    parts = []
    for a, b, c, d in zip([0, *ends], ends, [0, *key_ends], key_ends):
        one = [t[x:y].transpose(0, 1).unsqueeze(0) for t, x, y in zip(leaves, (a, c, c), (b, d, d))]
        allowed = torch.ones(b - a, d - c, dtype=torch.bool).tril(d - c - (b - a))
        parts.append(expected(*one, allowed=allowed)[0].transpose(0, 1))
    wanted = torch.cat(parts)
    moved = [t.detach().npu().requires_grad_() for t in leaves]
    out = torch_npu.npu_fusion_attention(*moved, HEADS, "TND", scale=0.5, actual_seq_qlen=ends, actual_seq_kvlen=key_ends, sparse_mode=3,
                                         atten_mask=torch.ones(2048, 2048, dtype=torch.bool).triu(1).npu())[0]
    torch.testing.assert_close(out.cpu(), wanted, atol=1e-5, rtol=1e-5)
    out.sum().backward()
    for ours, cpu in zip(moved, torch.autograd.grad(wanted.sum(), leaves)):
        torch.testing.assert_close(ours.grad.cpu(), cpu, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    leaves = inputs()
    out = torch_npu.npu_fusion_attention(*(t.detach().to(dtype).npu() for t in leaves), HEADS, "BNSD", scale=0.5)[0]
    assert out.dtype == dtype
    torch.testing.assert_close(out.cpu().float(), expected(*leaves), atol=2e-2, rtol=2e-2)


def test_dropout_is_the_same_in_both_directions():
    """With value = identity the result is the weights: those dropped have no gradient either."""
    torch.npu.manual_seed(1)
    q, k = (randn(1, 1, 16, 16, seed=i).npu() for i in range(2))
    v = torch.eye(16).npu().view(1, 1, 16, 16).requires_grad_()
    out, _, _, _, seed, offset, scores = torch_npu.npu_fusion_attention(q, k, v, 1, "BNSD", keep_prob=0.5)
    assert scores == 256
    dropped = out.cpu() == 0
    assert 60 < dropped.sum() < 196
    out.sum().backward()
    # d sum(out) / d value[s, :] is the sum of the kept weights of source s.
    torch.testing.assert_close(v.grad.cpu()[0, 0, :, 0], out.cpu()[0, 0].sum(0), atol=1e-5, rtol=1e-5)
    again = torch_npu.npu_fusion_attention(q, k, v, 1, "BNSD", keep_prob=0.5)
    assert not torch.equal(again[0].cpu() == 0, dropped)
    repeated = torch_npu.npu_fusion_attention(q, k, v, 1, "BNSD", keep_prob=0.5, seed=seed, offset=offset)
    assert torch.equal(repeated[0].cpu(), out.cpu())


Q = torch.zeros(2, 4, 6, 8)


@pytest.mark.parametrize("arguments, error, words", [
    ((Q, Q, Q, 4, "BDNS"), ValueError, "input_layout is 'BDNS'; BNSD, BSND, BSH, SBH and TND exist"),
    ((Q, Q, Q, 3, "BNSD"), ValueError, r"head_num is 3, which query of shape \[2, 4, 6, 8\] in layout BNSD has not"),
    ((Q, Q.half(), Q, 4, "BNSD"), TypeError, "query is float32, key is float16"),
    ((Q, Q[:, :3], Q[:, :3], 4, "BNSD"), ValueError, "do not belong together"),
    ((Q[0], Q[0], Q[0], 4, "BNSD"), ValueError, "the layout BNSD has 4 dimensions"),
    ((Q[0], Q[0], Q[0], 6, "TND"), ValueError, "needs actual_seq_qlen and actual_seq_kvlen"),
    ((Q.int(), Q.int(), Q.int(), 4, "BNSD"), TypeError, "float32, float16 or bfloat16, not int32"),
])
def test_refused(arguments, error, words):
    arguments = [a.npu() if isinstance(a, torch.Tensor) else a for a in arguments]
    with pytest.raises(error, match=words):
        torch_npu.npu_fusion_attention(*arguments)
    assert torch.ones(2).npu().sum().item() == 2


@pytest.mark.parametrize("given, error, words", [
    ({"keep_prob": 0.0}, ValueError, "keep_prob is 0"),
    ({"sparse_mode": 2}, ValueError, "needs an atten_mask of 2048 x 2048"),
    ({"sink": torch.zeros(4)}, NotImplementedError, "sink is not supported yet"),
    ({"padding_mask": torch.zeros(4)}, NotImplementedError, "padding_mask is not supported yet"),
    ({"atten_mask": torch.zeros(6, 6)}, TypeError, "atten_mask is bool or uint8, not float32"),
])
def test_refused_options(given, error, words):
    given = {k: v.npu() if isinstance(v, torch.Tensor) else v for k, v in given.items()}
    with pytest.raises(error, match=words):
        torch_npu.npu_fusion_attention(Q.npu(), Q.npu(), Q.npu(), 4, "BNSD", **given)


def test_tensors_without_memory():
    out = torch_npu.npu_fusion_attention(*(Q.to("meta"),) * 3, 4, "BNSD")
    assert out[0].shape == Q.shape and out[1].shape == (2, 4, 6, 8) and out[6] == 2 * 4 * 6 * 6
    from torch._subclasses.fake_tensor import FakeTensorMode
    with FakeTensorMode():
        q = torch.empty(2, 4, 6, 8, device="npu", requires_grad=True)
        out = torch_npu.npu_fusion_attention(q, q, q, 4, "BNSD")[0]
        out.sum().backward()
        assert out.device.type == q.grad.device.type == "npu" and q.grad.shape == q.shape


def compare_gated(ours, on_cpu, shape=(3, 8), tolerance=1e-5, dtype=torch.float32, device="npu"):
    x = randn(*shape).to(dtype)
    moved, leaf = x.to(device).requires_grad_(), x.detach().clone().float().requires_grad_()
    out, wanted = ours(moved), on_cpu(leaf)
    assert out.dtype == dtype
    torch.testing.assert_close(out.cpu().float(), wanted, atol=tolerance, rtol=tolerance)
    g = randn(*out.shape, seed=3)
    out.backward(g.to(dtype).to(device))
    wanted.backward(g)
    torch.testing.assert_close(moved.grad.cpu().float(), leaf.grad, atol=tolerance, rtol=tolerance)


# A model that calls these is on the CPU at times, too.
both_devices = pytest.mark.parametrize("device", ["npu", "cpu"])


@both_devices
@pytest.mark.parametrize("approximate", [0, 1])
@pytest.mark.parametrize("left", [False, True])
def test_geglu(approximate, left, device):
    """With its defaults, what diffusers calls for the activation of its feed-forward layers."""
    kind = "tanh" if approximate else "none"

    def on_cpu(x):
        a, b = x.chunk(2, -1)
        return F.gelu(a, approximate=kind) * b if left else a * F.gelu(b, approximate=kind)
    compare_gated(lambda x: torch_npu.npu_geglu(x, -1, approximate, left)[0], on_cpu, device=device)
    a, b = randn(3, 8).chunk(2, -1)
    gelu = torch_npu.npu_geglu(randn(3, 8).to(device), -1, approximate, left)[1]
    torch.testing.assert_close(gelu.cpu(), F.gelu(a if left else b, approximate=kind))


@both_devices
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_swiglu(dim, device):
    compare_gated(lambda x: torch_npu.npu_swiglu(x, dim), lambda x: F.silu(x.chunk(2, dim)[0]) * x.chunk(2, dim)[1], shape=(4, 6, 2), device=device)


@both_devices
def test_gated_activations_in_half_precision(device):
    compare_gated(torch_npu.npu_swiglu, lambda x: F.silu(x.chunk(2, -1)[0]) * x.chunk(2, -1)[1], dtype=torch.bfloat16, tolerance=4e-2, device=device)
    compare_gated(lambda x: torch_npu.npu_geglu(x)[0], lambda x: x.chunk(2, -1)[0] * F.gelu(x.chunk(2, -1)[1], approximate="tanh"), dtype=torch.float16,
                  tolerance=5e-3, device=device)


@both_devices
@pytest.mark.parametrize("call", [torch_npu.npu_geglu, torch_npu.npu_swiglu])
def test_gated_activations_refuse(call, device):
    with pytest.raises(ValueError, match=r"dimension 1 of shape \[2, 3\] cannot be halved"):
        call(torch.zeros(2, 3).to(device))
    with pytest.raises(TypeError, match="not int64"):
        call(torch.zeros(2, 4, dtype=torch.int64).to(device))
    with pytest.raises(IndexError, match="Dimension out of range"):
        call(torch.zeros(2, 4).to(device), 5)
    with pytest.raises(ValueError, match="approximate is 2"):
        torch_npu.npu_geglu(torch.zeros(2, 4).to(device), approximate=2)


@pytest.mark.parametrize("name", torch_npu.operators.__all__)
def test_functions_are_as_the_schema_says(name):
    import inspect

    schema = getattr(torch.ops.npu, name).default._schema
    signature = inspect.signature(getattr(torch_npu, name))
    assert [a.name for a in schema.arguments] == list(signature.parameters)
    defaults = {name: p.default for name, p in signature.parameters.items() if p.default is not p.empty}
    assert {a.name: a.default_value for a in schema.arguments if a.has_default_value()} == defaults


def test_operators_that_are_not_there_say_so():
    with pytest.raises(AttributeError, match="npu_no_such_operator.*not there yet"):
        torch_npu.npu_no_such_operator
    assert not hasattr(torch_npu, "npu_no_such_operator")
