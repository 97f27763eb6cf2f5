"""Neural-network operators on npu compared with the CPU, where PyTorch's operator and module databases do not look."""
import contextlib
import copy

import pytest
import torch
import torch.nn.functional as F
import torch_npu
from torch import nn
from pairs import strict_zip


@contextlib.contextmanager
def native():
    """Nothing inside runs on the CPU."""
    torch_npu.reset_fallbacks()
    yield
    assert not torch_npu.fallbacks(), "computed on the CPU"


def randn(*shape, seed=1, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def close(actual, expected, **tolerance):
    assert actual.device.type == "npu"
    torch.testing.assert_close(actual.detach().cpu(), expected.detach(), **tolerance)


def both(function, *inputs):
    """(result, gradients of the floating inputs) on the CPU and on npu."""
    out = []
    for device in ("cpu", "npu"):
        leaves = [t.detach().to(device).requires_grad_(t.is_floating_point()) if isinstance(t, torch.Tensor) else t for t in inputs]
        result = function(*leaves)
        wanted = [t for t in leaves if isinstance(t, torch.Tensor) and t.requires_grad]
        out.append((result, torch.autograd.grad(result, wanted, randn(*result.shape, seed=9, dtype=result.dtype).to(device))))
    return out


def compare(function, *inputs, **tolerance):
    (expected, expected_grads), (actual, grads) = both(function, *inputs)
    close(actual, expected, **tolerance)
    for a, e in strict_zip(grads, expected_grads):
        close(a, e, **tolerance)


def trained(model, *inputs, steps=2):
    """Parameters after some steps of SGD on the sum of squares of all outputs."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        flat = torch.utils._pytree.tree_flatten(model(*inputs))[0]
        sum(t.square().sum() for t in flat if isinstance(t, torch.Tensor) and t.is_floating_point()).backward()
        optimizer.step()
    return list(model.parameters())


# ---- recurrent ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}, {"batch_first": True, "bias": False}], ids=["plain", "deep", "no-bias"])
@pytest.mark.parametrize("packed", [False, True])
def test_recurrent_training_step(kind, options, packed):
    torch.manual_seed(3)
    model = kind(5, 4, **options)
    twin = kind(5, 4, **options)
    twin.load_state_dict(model.state_dict())
    twin.npu()
    x = randn(3, 6, 5) if options.get("batch_first") else randn(6, 3, 5)
    inputs = [x, x.npu()]
    if packed:
        inputs = [nn.utils.rnn.pack_padded_sequence(t, [6, 2, 4], options.get("batch_first", False), enforce_sorted=False) for t in inputs]
    expected = trained(model, inputs[0])
    with native():
        actual = trained(twin, inputs[1])
    for a, e in strict_zip(actual, expected):
        close(a, e, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_cells(kind):
    torch.manual_seed(3)
    cell = kind(5, 4)
    twin = kind(5, 4)
    twin.load_state_dict(cell.state_dict())
    expected = trained(cell, randn(3, 5))
    with native():
        actual = trained(twin.npu(), randn(3, 5).npu())
    for a, e in strict_zip(actual, expected):
        close(a, e, atol=1e-5, rtol=1e-4)


def test_lstm_of_a_type_the_fused_cell_does_not_take():
    torch.manual_seed(3)
    model = nn.LSTM(5, 4, dtype=torch.bfloat16)
    x = randn(6, 3, 5, dtype=torch.bfloat16)
    expected = copy.deepcopy(model).float()(x.float())[0]  # older versions of torch need a CPU that computes in bfloat16 for the other
    out = model.npu()(x.npu())[0]
    close(out.float(), expected, atol=2e-2, rtol=2e-2)
    out.float().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_recurrent_dropout_is_reproducible():
    model = nn.LSTM(5, 4, num_layers=2, dropout=0.5).npu()
    x = randn(6, 3, 5).npu()
    torch.manual_seed(5)
    first = model(x)[0]
    torch.manual_seed(5)
    assert torch.equal(first, model(x)[0])
    assert not torch.equal(first, model(x)[0])
    model.eval()
    assert torch.equal(model(x)[0], model(x)[0])


# ---- attention ------------------------------------------------------------------------------------------------------
Q, K, V = randn(2, 4, 6, 8), randn(2, 4, 9, 8, seed=2), randn(2, 4, 9, 8, seed=3)
HIDE = randn(2, 1, 6, 9, seed=4) > 0
HIDE[:, :, 2] = False  # a row that may attend to nothing


@pytest.mark.parametrize("options", [
    {}, {"is_causal": True}, {"scale": 0.3}, {"attn_mask": HIDE}, {"attn_mask": randn(6, 9, seed=5)}, {"attn_mask": randn(2, 4, 6, 9, seed=5)},
    {"attn_mask": torch.zeros(1, 4, 6, 9).masked_fill(~HIDE[:1], -torch.inf)}, {"attn_mask": HIDE[0, 0]},
], ids=["plain", "causal", "scale", "bool", "float 2-D", "float 4-D", "infinite", "bool 2-D"])
def test_attention(options):
    from torch.nn.attention import SDPBackend

    def attend(q, k, v):
        given = {n: o.to(q.device) if isinstance(o, torch.Tensor) else o for n, o in options.items()}
        return F.scaled_dot_product_attention(q, k, v, **given)

    with native():
        compare(attend, Q, K, V, atol=1e-5, rtol=1e-4)
    fused = torch._fused_sdp_choice(Q.npu(), K.npu(), V.npu())
    assert fused == SDPBackend.OVERRIDEABLE.value


def test_attention_of_few_key_heads():
    with native():
        compare(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True), Q, K[:, :2], V[:, :2], atol=1e-5, rtol=1e-4)


def test_long_causal_attention():
    q = randn(1, 1, 2100, 8)
    with native():
        compare(lambda t: F.scaled_dot_product_attention(t, t, t, is_causal=True), q, atol=1e-5, rtol=1e-4)


def test_attention_in_half_precision():
    compare(F.scaled_dot_product_attention, *(t.half() for t in (Q, K, V)), atol=5e-3, rtol=5e-3)


@pytest.mark.parametrize("inputs", [
    tuple(t.double() for t in (Q, K, V)), (Q[0], K[0], V[0]), (Q, K, randn(2, 4, 9, 5)), (Q[:, :, :0], K, V), (Q, K[:1], V[:1]),
], ids=["float64", "3-D", "other value size", "empty", "broadcast batch"])
def test_attention_that_the_fused_kernel_does_not_take(inputs):
    compare(F.scaled_dot_product_attention, *inputs, atol=1e-5, rtol=1e-4)


def test_attention_with_a_trained_mask():
    compare(lambda q, k, v, bias: F.scaled_dot_product_attention(q, k, v, bias), Q, K, V, randn(6, 9, seed=5), atol=1e-5, rtol=1e-4)


def test_attention_dropout():
    q, k, v = (t.npu().requires_grad_() for t in (Q, K, torch.ones_like(V)))

    def run(seed):
        torch.manual_seed(seed)
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=0.5)
        return out, torch.autograd.grad(out.sum(), (q, k, v))

    (first, grads), (again, grads_again), (other, _) = run(1), run(1), run(2)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert all(torch.equal(a, b) for a, b in zip(grads, grads_again))
    # With values of one the result is the sum of the kept probabilities, and so is what reaches the values.
    torch.testing.assert_close(grads[2].sum(), first.sum())
    assert 0.5 < first.mean().item() < 1.5
    eager = torch.func.grad(lambda t: F.scaled_dot_product_attention(t, k, v).sum())(q.detach())
    assert eager.shape == q.shape


def test_choice_of_the_attention_kernel():
    from torch.nn.attention import SDPBackend, sdpa_kernel

    q, expected = Q.npu(), F.scaled_dot_product_attention(Q, Q, Q)
    for backends, chosen in [([SDPBackend.MATH], SDPBackend.MATH), ([SDPBackend.FLASH_ATTENTION], SDPBackend.OVERRIDEABLE),
                             ([SDPBackend.OVERRIDEABLE], SDPBackend.OVERRIDEABLE), ([SDPBackend.MATH, SDPBackend.OVERRIDEABLE], SDPBackend.OVERRIDEABLE)]:
        with sdpa_kernel(backends):
            assert torch._fused_sdp_choice(q, q, q) == chosen.value
            close(F.scaled_dot_product_attention(q, q, q), expected, atol=1e-5, rtol=1e-4)
    with sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION]), pytest.raises(RuntimeError, match="No available kernel.*FLASH_ATTENTION"):
        F.scaled_dot_product_attention(q, q, q)
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION]), pytest.raises(RuntimeError, match="No available kernel.*float32, float16 or bfloat16"):
        F.scaled_dot_product_attention(q.double(), q.double(), q.double())
    with pytest.raises(RuntimeError, match="is_causal=True"):
        F.scaled_dot_product_attention(q, q, q, attn_mask=torch.zeros(6, 6).npu(), is_causal=True)


@pytest.mark.parametrize("fast", [True, False])
def test_transformer_encoder(fast):
    torch.manual_seed(3)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    model = nn.TransformerEncoder(layer, 2).train(not fast)
    twin = nn.TransformerEncoder(layer, 2).train(not fast)
    twin.load_state_dict(model.state_dict())
    twin.npu()
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    x = randn(2, 5, 8)
    with torch.set_grad_enabled(not fast):
        expected = model(x, src_key_padding_mask=padding)
        with contextlib.nullcontext() if fast else native():  # the check of the mask sums truth values, which CANN does not
            actual = twin(x.npu(), src_key_padding_mask=padding.npu())
    close(actual, expected, atol=1e-5, rtol=1e-4)
    assert not fast or not actual[padding.npu()].any()


def test_qkv_rescaling():
    x, bias = randn(2, 5, 24), randn(24, seed=2)
    expected = torch._transform_bias_rescale_qkv(x, bias, 2)
    for a, e in strict_zip(torch._transform_bias_rescale_qkv(x.npu(), bias.npu(), 2), expected):
        close(a, e)
    with pytest.raises(RuntimeError, match="not divisible"):
        torch._transform_bias_rescale_qkv(x.npu(), bias.npu(), 5)


# ---- convolution ----------------------------------------------------------------------------------------------------
CONVOLUTIONS = {
    "slow_conv_dilated2d": (randn(2, 3, 9, 8), randn(4, 3, 3, 2, seed=2), (3, 2), randn(4, seed=3), (2, 1), (1, 2), (2, 1)),
    "slow_conv_dilated3d": (randn(2, 3, 5, 6, 7), randn(4, 3, 2, 3, 2, seed=2), (2, 3, 2), randn(4, seed=3), (1, 2, 1), (0, 1, 1), (1, 2, 1)),
    "slow_conv_transpose2d": (randn(2, 3, 4, 5), randn(3, 4, 3, 2, seed=2), (3, 2), randn(4, seed=3), (2, 1), (1, 0), (1, 0), (1, 1)),
    "slow_conv_transpose3d": (randn(2, 3, 2, 4, 5), randn(3, 4, 2, 3, 2, seed=2), (2, 3, 2), randn(4, seed=3), (1, 2, 1), (0, 1, 0), (0, 1, 0), (1, 1, 1)),
    "thnn_conv2d": (randn(2, 3, 9, 8), randn(4, 3, 3, 2, seed=2), (3, 2), randn(4, seed=3), (2, 1), (1, 0)),
    "slow_conv3d": (randn(2, 3, 5, 6, 7), randn(4, 3, 2, 3, 2, seed=2), (2, 3, 2), randn(4, seed=3), (1, 2, 1), (0, 1, 1)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_by_kernel_size(name):
    with native():
        compare(getattr(torch._C._nn, name), *CONVOLUTIONS[name], atol=1e-4, rtol=1e-4)


def test_single_images_and_out_of_convolutions():
    x, w, *rest = CONVOLUTIONS["slow_conv_transpose2d"]
    expected = torch._C._nn.slow_conv_transpose2d(x[0], w, *rest)
    moved = [t.npu() if isinstance(t, torch.Tensor) else t for t in rest]
    out = torch.empty(0).npu()
    torch._C._nn.slow_conv_transpose2d(x[0].npu(), w.npu(), *moved, out=out)
    close(out, expected, atol=1e-4, rtol=1e-4)
    with pytest.raises(RuntimeError, match="kernel size"):
        torch._C._nn.slow_conv_transpose2d(x.npu(), w.npu(), (5, 5), *moved[1:])


def test_depthwise_convolutions():
    x, w = randn(2, 3, 9, 8), randn(3, 1, 3, 3, seed=2)
    close(torch._C._nn._conv_depthwise2d(x.npu(), w.npu(), (3, 3), None, (1, 1), (1, 1), (1, 1)), F.conv2d(x, w, padding=1, groups=3), atol=1e-4, rtol=1e-4)
    x, w = randn(2, 3, 5, 6, 7), randn(3, 1, 2, 3, 2, seed=2)
    close(torch._C._nn.conv_depthwise3d(x.npu(), w.npu(), (2, 3, 2), None, (1, 1, 1), (0, 0, 0), (1, 1, 1)), F.conv3d(x, w, groups=3), atol=1e-4, rtol=1e-4)


def test_convolution_over_time():
    with native():
        compare(torch.conv_tbc, randn(7, 2, 3), randn(3, 3, 4, seed=2), randn(4, seed=3), 1, atol=1e-4, rtol=1e-4)
    with pytest.raises(RuntimeError, match="Bias size must equal"):
        torch.conv_tbc(randn(7, 2, 3).npu(), randn(3, 3, 4).npu(), randn(5).npu())


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
def test_convolution_of_other_types_falls_back(dtype):
    x, w = (randn(2, 3, 6, 6) * 5).to(dtype), (randn(4, 3, 3, 3, seed=2) * 5).to(dtype)
    close(F.conv2d(x.npu(), w.npu()), F.conv2d(x, w))
    if dtype.is_floating_point:
        compare(F.conv2d, x, w, randn(4).double())


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_convolution_double_backward(dims):
    conv = (F.conv1d, F.conv2d, F.conv3d)[dims - 1]

    def penalty(x, w):
        grads = torch.autograd.grad(conv(x, w, padding=1).square().sum(), (x, w), create_graph=True)
        return sum(g.square().sum() for g in grads)

    compare(penalty, randn(2, 2, *(5,) * dims), randn(3, 2, *(3,) * dims, seed=2) * 0.1, atol=1e-2, rtol=1e-3)


def test_errors_of_transposed_convolutions():
    conv = nn.ConvTranspose2d(3, 4, 3, stride=2).npu()
    x = randn(2, 3, 4, 4).npu()
    assert conv(x, output_size=(10, 9)).shape == (2, 4, 10, 9)
    with pytest.raises(ValueError, match="requested an output size"):
        conv(x, output_size=(20, 20))
    with pytest.raises(RuntimeError, match="output padding must be smaller"):
        F.conv_transpose2d(x, randn(3, 4, 3, 3).npu(), output_padding=1)
    with pytest.raises(RuntimeError, match="expected input.*to have 3 channels"):
        nn.Conv2d(3, 4, 3).npu()(randn(2, 2, 4, 4).npu())
    assert conv(x).isfinite().all()


def test_channels_last():
    x = randn(2, 3, 8, 8).to(memory_format=torch.channels_last)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.GroupNorm(2, 4),
                          nn.Upsample(scale_factor=2), nn.AdaptiveAvgPool2d(3))
    twin = nn.Sequential(*model)
    with torch.no_grad():
        expected = model.eval()(x)
        actual = twin.npu()(x.npu())
    close(actual, expected, atol=1e-5, rtol=1e-4)
    x = randn(2, 3, 4, 5, 6).to(memory_format=torch.channels_last_3d)
    expected, indices = F.max_pool3d(x, 2, return_indices=True)
    actual, where = F.max_pool3d(x.npu(), 2, return_indices=True)
    assert all(t.is_contiguous(memory_format=torch.channels_last_3d) for t in (actual, where))
    close(actual, expected)
    close(where, indices)


# ---- pooling --------------------------------------------------------------------------------------------------------
def test_max_pool3d():
    with native():
        compare(lambda x: F.max_pool3d(x, (2, 3, 2), 2, 1, 1, True), randn(2, 3, 5, 6, 7))
        compare(lambda x: F.max_pool3d(x, 2), randn(3, 5, 6, 7))
    with pytest.raises(RuntimeError, match="Expected 4D or 5D"):
        F.max_pool3d(randn(5, 6, 7).npu(), 2)
    with pytest.raises(RuntimeError, match="pad should be at most half|pad should be smaller"):
        F.max_pool3d(randn(3, 5, 6, 7).npu(), 2, padding=2)


def test_unpooling():
    x = randn(2, 3, 6, 6)
    pooled, indices = F.max_pool2d(x, 2, return_indices=True)
    close(F.max_unpool2d(pooled.npu(), indices.npu(), 2), F.max_unpool2d(pooled, indices, 2))
    with pytest.raises(RuntimeError, match="indices should be type int64"):
        torch._C._nn.max_unpool2d(pooled.npu(), indices.int().npu(), (6, 6))
    with pytest.raises(RuntimeError, match="Expected shape of indices"):
        torch._C._nn.max_unpool2d(pooled.npu(), indices[:1].npu(), (6, 6))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("batched", [True, False])
def test_fractional_pooling_with_given_samples(dims, batched):
    pool = (F.fractional_max_pool2d, F.fractional_max_pool3d)[dims - 2]
    samples = torch.rand(2 if batched else 1, 3, dims, generator=torch.Generator().manual_seed(4))
    size = (3, 9, 8, 7)[:dims + 1]
    x = randn(*((2,) if batched else ()), *size)
    with native():
        compare(lambda t: pool(t, 2, (3, 4, 5)[:dims], _random_samples=samples.to(t.device)), x)
        compare(lambda t: pool(t, 3, 1, _random_samples=samples.to(t.device)), x)
    expected = pool(x, 2, (3, 4, 5)[:dims], _random_samples=samples, return_indices=True)
    actual = pool(x.npu(), 2, (3, 4, 5)[:dims], _random_samples=samples.npu(), return_indices=True)
    close(actual[1], expected[1])


def test_adaptive_pooling_out():
    x = randn(2, 3, 5, 6, 7)
    out = torch.empty(0).npu()
    torch._C._nn.adaptive_avg_pool3d(x.npu(), (2, 3, 4), out=out)
    close(out, F.adaptive_avg_pool3d(x, (2, 3, 4)))
    close(torch.channel_shuffle(randn(2, 6, 3).npu(), 3), torch.channel_shuffle(randn(2, 6, 3), 3))


# ---- normalisation --------------------------------------------------------------------------------------------------
def test_batch_norm_without_parameters():
    with native():
        compare(lambda x: F.batch_norm(x, None, None, training=True), randn(4, 3, 5), atol=1e-5, rtol=1e-4)
        compare(lambda x, b: F.batch_norm(x, None, None, None, b, training=True), randn(4, 3, 5), randn(3), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("parameters", [torch.float32, torch.bfloat16])
def test_batch_norm_of_mixed_types(parameters):
    x = randn(4, 3, 5, dtype=torch.bfloat16)
    with native():
        compare(lambda t, w, b: F.batch_norm(t, None, None, w, b, training=True), x, randn(3, dtype=parameters), randn(3, seed=2, dtype=parameters), atol=5e-2, rtol=5e-2)


def test_batch_norm_family():
    x, w, b = randn(4, 3, 5), randn(3, seed=2), randn(3, seed=3)
    for device_out in zip(*[[torch.ops.aten._native_batch_norm_legit(*(t.to(d) for t in (x, w, b, torch.zeros(3), torch.ones(3))), True, 0.1, 1e-5),
                             torch.ops.aten._native_batch_norm_legit.no_stats(*(t.to(d) for t in (x, w, b)), True, 0.1, 1e-5),
                             torch.ops.aten._batch_norm_with_update(*(t.to(d) for t in (x, w, b, torch.zeros(3), torch.ones(3))), 0.1, 1e-5)[:3],
                             torch.batch_norm_update_stats(x.to(d), torch.zeros(3).to(d), torch.ones(3).to(d), 0.1)] for d in ("cpu", "npu")]):
        for e, a in strict_zip(*device_out):
            close(a, e, atol=1e-5, rtol=1e-4)


def test_pieces_of_synchronised_batch_norm():
    x, w, b = randn(4, 3, 5), randn(3, seed=2), randn(3, seed=3)
    leaves = [t.clone().requires_grad_() for t in (x, w, b)]
    mean, var = torch.zeros(3), torch.ones(3)
    expected = F.batch_norm(leaves[0], mean, var, leaves[1], leaves[2], training=True)
    g = randn(4, 3, 5, seed=4)
    gx, gw, gb = torch.autograd.grad(expected, leaves, g)
    n = [t.npu() for t in (x, w, b, g)]
    with native():
        halves = [torch.batch_norm_stats(t, 1e-5) for t in n[0].chunk(2)]
        means, invstds = (torch.stack(t) for t in zip(*halves))
        moved = [torch.zeros(3).npu(), torch.ones(3).npu()]
        counts = torch.full((2,), 10.0).npu()
        total, inverse = torch.batch_norm_gather_stats_with_counts(n[0], means, invstds, *moved, 0.1, 1e-5, counts)
        out = torch.batch_norm_elemt(n[0], n[1], n[2], total, inverse, 1e-5)
        sum_dy, sum_dy_xmu, grad_w, grad_b = torch.batch_norm_backward_reduce(n[3], n[0], total, inverse, n[1], True, True, True)
        grad_x = torch.batch_norm_backward_elemt(n[3], n[0], total, inverse, n[1], sum_dy, sum_dy_xmu, torch.tensor([20], dtype=torch.int32).npu())
        again = torch.batch_norm_gather_stats(n[0], means, invstds, None, None, 0.1, 1e-5, 10)
    for a, e in [(out, expected), (moved[0], mean), (moved[1], var), (grad_x, gx), (grad_w, gw), (grad_b, gb)]:
        close(a, e, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(again[0], total)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_rms_norm(dtype):
    tolerance = {"atol": 0.2, "rtol": 0.1} if dtype == torch.bfloat16 else {"atol": 1e-5, "rtol": 1e-4}
    compare(lambda x, w: F.rms_norm(x, (5,), w), randn(4, 3, 5, dtype=dtype), randn(5, seed=2, dtype=dtype), **tolerance)
    compare(lambda x: F.rms_norm(x, (3, 5), eps=1e-3), randn(4, 3, 5, dtype=dtype), **tolerance)


@pytest.mark.parametrize("dim", [0, 2, None])
def test_weight_norm(dim):
    torch.manual_seed(3)
    conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 4, 2), dim=dim)
    twin = nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 4, 2), dim=dim)
    twin.load_state_dict(conv.state_dict())
    expected = trained(conv, randn(2, 3, 6))
    with native():
        actual = trained(twin.npu(), randn(2, 3, 6).npu())
    for a, e in strict_zip(actual, expected):
        close(a, e, atol=1e-5, rtol=1e-4)


# ---- losses ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("p", [1, 2])
def test_multi_margin_loss(reduction, p):
    target, weight = torch.tensor([0, 4, 2]), randn(5, seed=2).abs()
    with native():
        compare(lambda x: F.multi_margin_loss(x, target.to(x.device), p, 0.7, weight.to(x.device), reduction=reduction), randn(3, 5))
        compare(lambda x: F.multi_margin_loss(x, target[1].to(x.device), p, reduction=reduction), randn(5))
    with pytest.raises(ValueError, match="only p == 1 and p == 2"):
        F.multi_margin_loss(randn(3, 5).npu(), target.npu(), 3)
    with pytest.raises(RuntimeError, match="Expected target size .3., but got .2."):
        F.multi_margin_loss(randn(3, 5).npu(), target[:2].npu())


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_multilabel_margin_loss(reduction):
    target = torch.tensor([[3, 0, -1, 1], [-1, 2, 0, 1], [0, 1, 2, 3]])
    with native():
        compare(lambda x: F.multilabel_margin_loss(x, target.to(x.device), reduction=reduction), randn(3, 4))
        compare(lambda x: F.multilabel_margin_loss(x, target[0].to(x.device), reduction=reduction), randn(4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)  # CANN documents no float64: the CPU computes it
@pytest.mark.parametrize("dim", [0, 1])
def test_gradient_of_a_softmax_that_is_not_contiguous(dim, dtype):
    result, gradient = randn(7, 10).softmax(dim).to(dtype).t()[::2], randn(7, 10, seed=2).to(dtype).t()[::2]
    expected = result * (gradient - (gradient * result).sum(1 - dim, keepdim=True))
    strided = [torch.empty(7, 10, dtype=dtype, device="npu").t()[::2].copy_(t) for t in (gradient, result)]
    assert not any(t.is_contiguous() for t in strided)
    close(torch._softmax_backward_data(*strided, 1 - dim, dtype), expected)


def test_ctc_loss():
    logs = randn(7, 2, 5).log_softmax(-1)
    targets, lengths = torch.tensor([[1, 2, 3], [4, 4, 0]]), ((7, 6), (3, 2))
    with native():
        compare(lambda x: F.ctc_loss(x, targets.to(x.device), *lengths), logs)
        compare(lambda x: F.ctc_loss(x, torch.tensor([1, 2, 3, 4, 4]).to(x.device), *lengths, reduction="none"), logs)
        compare(lambda x: F.ctc_loss(x, targets.to(x.device), *(torch.tensor(n).to(x.device) for n in lengths), zero_infinity=True), logs)
    with pytest.raises(RuntimeError, match="input_lengths must be of size batch_size"):
        F.ctc_loss(logs.npu(), targets.npu(), (7,), (3, 2))
    with pytest.raises(RuntimeError, match="blank must be in label range"):
        F.ctc_loss(logs.npu(), targets.npu(), *lengths, blank=9)


@pytest.mark.parametrize("p", [0.0, 1.0, 2.0, 3.0, float("inf")])
def test_pairwise_distances(p):
    with native():
        compare(lambda x: F.pdist(x, p), randn(4, 3), atol=1e-5, rtol=1e-4)
        compare(lambda x, y: torch.cdist(x, y, p, compute_mode="donot_use_mm_for_euclid_dist"), randn(4, 3), randn(5, 3, seed=2), atol=1e-5, rtol=1e-4)
    assert F.pdist(randn(1, 3).npu()).shape == (0,)


def test_huber_loss_in_half_precision():
    def loss(x, y):
        return F.huber_loss(x, y, delta=0.7, reduction="none")

    x, y = randn(50).half(), randn(50, seed=2).half()
    expected, gradients = both(loss, x.float(), y.float())[0]  # the CPU of older versions of torch rounds between the steps
    actual, actual_gradients = both(loss, x, y)[1]
    close(actual, expected.half())
    for a, e in strict_zip(actual_gradients, gradients):
        close(a, e.half(), atol=1e-4, rtol=2e-3)  # of a gradient that was rounded


# ---- resampling, embedding bags -------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(5, 9), (12, 4)])
@pytest.mark.parametrize("align_corners", [True, False])
def test_lanczos(size, align_corners):
    with native():
        compare(lambda x: torch._C._nn._upsample_lanczos2d_aa(x, size, align_corners), randn(2, 3, 7, 8), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding_idx", [None, 2])
@pytest.mark.parametrize("last", [True, False])
def test_embedding_bag(mode, padding_idx, last):
    indices, offsets = torch.tensor([1, 2, 4, 5, 4, 3, 2, 2]), torch.tensor([0, 3, 3, 8] if last else [0, 3, 3])
    weights = randn(8, seed=2)

    def bag(table, *per_sample):
        return F.embedding_bag(indices.to(table.device), table, offsets.to(table.device), mode=mode, include_last_offset=last, padding_idx=padding_idx,
                               per_sample_weights=per_sample[0] if per_sample else None)

    with native():
        compare(bag, randn(6, 3))
        if mode == "sum":
            compare(bag, randn(6, 3), weights)


def test_embedding_bag_results_and_errors():
    indices, offsets, table = torch.tensor([1, 2, 4, 5, 4]), torch.tensor([0, 2]), randn(6, 3)
    out, bags, sizes, maxima = torch._embedding_bag(table.npu(), indices.int().npu(), offsets.npu(), False, 1)
    assert bags.tolist() == [0, 0, 1, 1, 1] and sizes.tolist() == [2, 3] and maxima.shape == (2,)
    close(out, F.embedding_bag(indices, table, offsets))
    assert torch._embedding_bag_forward_only(table.npu(), indices.npu(), offsets.npu(), False, 2)[3].shape == (2, 3)
    with pytest.raises(RuntimeError, match="Long, Int"):
        torch._embedding_bag(table.npu(), indices.float().npu(), offsets.npu())
    with pytest.raises(RuntimeError, match="only supported for mode='sum'"):
        torch._embedding_bag(table.npu(), indices.npu(), offsets.npu(), False, 1, False, randn(5).npu())


def test_embedding_with_limited_norm():
    table, indices = randn(6, 3) * 3, torch.tensor([1, 4, 1])
    ours = table.clone().npu()
    with native():
        out = F.embedding(indices.npu(), ours, max_norm=1.0)
    expected = F.embedding(indices, table, max_norm=1.0)
    close(out, expected)
    close(ours, table)


def test_temporaries_of_one_call_do_not_share_memory():
    # Two numbers on the CPU, or two parameters made up for one call.
    a, b = torch.tensor(1.0), torch.tensor(2.0)
    assert torch.where(torch.tensor([True, False]).npu(), a, b).tolist() == [1.0, 2.0]
    assert torch.native_batch_norm(randn(4, 3).npu(), None, None, None, None, True, 0.1, 1e-5)[0].mean().abs() < 1e-5


@pytest.mark.parametrize("call", [
    lambda x: torch.ops.aten.im2col(x[:0, :1], [2, 2], [1, 1], [0, 0], [2, 0]),
    lambda x: torch.ops.aten.im2col(x, [2], [1, 1], [0, 0], [1, 1]),
    lambda x: torch.ops.aten.col2im(x.reshape(2, 4, 24), [5, 5], [2, 2], [1, 1], [0, 0], [1, 0]),
    lambda x: torch.ops.aten.col2im(x.reshape(2, 4, 24), [5, 5], [2, 2], [1, 1], [0], [1, 1]),
])
def test_sliding_blocks_that_do_not_fit_are_refused_as_on_the_cpu(call):
    x = torch.ones(2, 4, 4, 6)
    messages = []
    for device in "cpu", "npu":
        with pytest.raises(RuntimeError) as error:
            call(x.to(device))
        messages.append(str(error.value).splitlines()[0])
    assert messages[0] == messages[1]


@pytest.mark.parametrize("call, message", [
    (lambda x: torch.native_batch_norm(x, x[0, :2, 0], None, None, None, True, 0.1, 1e-5), "weight should contain 4 elements not 2"),
    (lambda x: torch.native_batch_norm(x, None, None, x[0, :1, 0], x[0, :1, 0], True, 0.1, 1e-5), "running_mean should contain 4 elements not 1"),
    (lambda x: torch.ops.aten.unfold_backward(x[0, 0, :5], [1, 16], 1, 10, 2), r"expected a gradient of shape \[1, 4, 10\], but got \[5\]"),
    (lambda x: torch.ops.aten.convolution_overrideable(x, x[0, 0, :1], None, [1], [0], [1], False, [0], 1), "weight should have at least three dimensions"),
    (lambda x: torch.ops.aten.convolution_overrideable(x, x[:1, :, :2], None, [1], [0], [1], False, [0], 0), "non-positive groups"),
    (lambda x: torch.ops.aten.convolution_overrideable(x, x[:1, :, :2], None, [0], [0], [1], False, [0], 1), "non-positive stride"),
    (lambda x: torch.ops.aten.convolution_overrideable(x, x[:1, :, :2], None, [1], [0], [], True, [1], 1), "output padding must be smaller"),
])
def test_extents_that_the_cpu_kernels_trust_are_checked(call, message):
    x = torch.ones(2, 4, 6, device="npu")
    with pytest.raises(RuntimeError, match=message):
        call(x)
    assert (x + 1).sum().item() == 96


def test_batch_norm_of_doubles_moves_the_running_statistics():
    x = randn(4, 3, dtype=torch.float64)
    statistics = []
    for device in "cpu", "npu":
        norm = nn.BatchNorm1d(3).double().to(device)
        norm(x.to(device))
        statistics.append((norm.running_mean, norm.running_var))
    for expected, given in zip(*statistics):
        close(given, expected)


@pytest.mark.parametrize("index", [-1, 64, 1 << 40])
def test_pooling_gradients_with_an_index_outside_are_refused(index):
    x, grad = torch.ones(1, 1, 4, 4, 4, device="npu"), torch.ones(1, 1, 2, 2, 2, device="npu")
    with pytest.raises(RuntimeError):
        torch.ops.aten.max_pool3d_with_indices_backward(grad, x, [2] * 3, [2] * 3, [0] * 3, [1] * 3, False, torch.full_like(grad, index, dtype=torch.int64))
        torch.npu.synchronize()
    assert (x + 1).sum().item() == 128
