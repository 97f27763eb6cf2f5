"""Operator calls compared between npu and CPU by test_operators.py: one row per call.

A row is a name and a function of a ``make`` object that creates inputs: ``make(2, 3)`` a random float tensor that requires
grad, ``make.ints(high, 2, 3)`` integers, ``make.bools(2, 3)``. The function's result (a tensor or tuple) is compared, then the
gradients of its floating outputs.
"""
import torch
import torch.nn.functional as F

ROWS = {}


def row(name):
    def add(f):
        assert name not in ROWS, name
        ROWS[name] = f
        return f
    return add


UNARY = """abs acos acosh asin asinh atan atanh ceil cos cosh erf erfc erfinv exp exp2 expm1 floor frac log log10 log1p log2 neg
reciprocal round rsqrt sigmoid sign sgn sin sinc sinh sqrt tan tanh trunc square relu""".split()
for _name in UNARY:
    def _unary(make, f=getattr(torch, _name), shift=1.5 if _name == "acosh" else 0.0):
        return f(make(3, 5).abs() * 0.8 + 0.1 + shift)
    row(_name)(_unary)

for _name in "isfinite isinf isnan isposinf isneginf signbit logical_not".split():
    row(_name)(lambda make, f=getattr(torch, _name): f(make(3, 5).detach() / torch.tensor([0.0, 1, 1, -0.0, 2]).to(make.device)))

for _name in "add sub mul div atan2 maximum minimum pow remainder fmod logaddexp logaddexp2 xlogy".split():
    row(f"{_name}")(lambda make, f=getattr(torch, _name): f(make(3, 5).abs() + 0.5, make(5).abs() + 0.5))
    row(f"{_name} broadcast strided")(lambda make, f=getattr(torch, _name): f(make(5, 1, 3).abs().transpose(0, 2) + 0.5, make(4, 5).abs() + 0.5))
for _name in "add sub mul div pow remainder fmod".split():
    row(f"{_name} python number")(lambda make, f=getattr(torch, _name): f(make(3, 5).abs() + 0.5, 1.5))
    row(f"{_name} int tensor, float number")(lambda make, f=getattr(torch, _name): f(make.ints(9, 3, 5) + 1, 1.5))
row("rsub")(lambda make: 2 - make(3, 4))
row("rdiv")(lambda make: 2 / (make(3, 4).abs() + 1))
row("rpow")(lambda make: 2 ** make(3, 4))
row("add alpha")(lambda make: torch.add(make(3, 4), make(4), alpha=0.5))
row("int plus float")(lambda make: make.ints(5, 3, 4) + make(4))
row("div trunc")(lambda make: torch.div(make(3, 4), make(4).abs() + 0.2, rounding_mode="trunc").detach())
row("div floor")(lambda make: torch.div(make(3, 4), 0.3, rounding_mode="floor").detach())
row("floor_divide ints")(lambda make: make.ints(50, 3, 4) // 7)
for _name in "eq ne lt le gt ge".split():
    row(_name)(lambda make, f=getattr(torch, _name): f(make.ints(3, 4, 5), make.ints(3, 5)))
    row(_name + " number")(lambda make, f=getattr(torch, _name): f(make.ints(3, 4, 5), 1))
for _name in "logical_and logical_or logical_xor".split():
    row(_name)(lambda make, f=getattr(torch, _name): f(make.ints(2, 4, 5), make.bools(5)))
for _name in "bitwise_and bitwise_or bitwise_xor".split():
    row(_name)(lambda make, f=getattr(torch, _name): f(make.ints(30, 4, 5), make.ints(30, 5)))
row("bitwise_not")(lambda make: ~make.ints(30, 4))
row("where")(lambda make: torch.where(make.bools(3, 4), make(3, 4), make(4)))
row("where number")(lambda make: torch.where(make.bools(3, 4), make(3, 4), 0.0))
row("clamp")(lambda make: make(3, 4).clamp(-0.5, 0.5))
row("clamp tensor")(lambda make: torch.clamp(make(3, 4), min=make(4).detach() - 1))
row("lerp")(lambda make: torch.lerp(make(3, 4), make(3, 4), 0.3))
row("addcmul")(lambda make: torch.addcmul(make(3, 4), make(3, 4), make(4), value=0.5))
row("addcdiv")(lambda make: torch.addcdiv(make(3, 4), make(3, 4), make(4).abs() + 1, value=0.5))

row("sum")(lambda make: make(3, 4).sum())
row("sum dim")(lambda make: make(3, 4, 5).sum((0, 2), keepdim=True))
row("sum ints")(lambda make: make.ints(9, 3, 4).sum(1))
row("mean")(lambda make: make(3, 4).mean())
row("mean dim")(lambda make: make(3, 4).mean(-1))
row("prod")(lambda make: make(3, 4).prod())
row("prod dim")(lambda make: make(3, 4).prod(1))
row("max")(lambda make: make(3, 4).max())
row("max dim")(lambda make: make(3, 4).max(1))
row("min dim")(lambda make: make(3, 4).min(0, keepdim=True))
row("amax")(lambda make: make(3, 4).amax(1))
row("aminmax")(lambda make: torch.aminmax(make(3, 4).detach()))
row("argmax")(lambda make: make(3, 4).argmax())
row("argmax dim")(lambda make: make(3, 4).argmax(1))
row("argmin dim")(lambda make: make(3, 4).argmin(0))
row("all any")(lambda make: (make.bools(3, 4).all(), make.bools(3, 4).any(1), make.bools(3, 4).all(0)))
row("cumsum")(lambda make: make(3, 4).cumsum(1))
row("cumprod")(lambda make: make(3, 4).cumprod(0))
row("norm")(lambda make: make(3, 4).norm())
row("vector_norm")(lambda make: torch.linalg.vector_norm(make(3, 4), 3, dim=1))
row("var std")(lambda make: (make(3, 4).var(1), make(3, 4).std(), make(3, 4).var(0, unbiased=False)))
row("var_mean")(lambda make: torch.var_mean(make(3, 4), 1))
row("sort")(lambda make: make(3, 7).sort(1, descending=True))
row("argsort")(lambda make: make(3, 7).argsort(0))
row("topk")(lambda make: make(3, 7).topk(3))
row("logsumexp")(lambda make: make(3, 7).logsumexp(1))

row("mm")(lambda make: make(3, 4) @ make(4, 5))
row("mm transposed")(lambda make: make(4, 3).t() @ make(5, 4).t())
row("bmm")(lambda make: torch.bmm(make(2, 3, 4), make(2, 4, 5)))
row("matmul broadcast")(lambda make: make(2, 1, 3, 4) @ make(5, 4, 2))
row("addmm")(lambda make: torch.addmm(make(5), make(3, 4), make(4, 5), beta=0.5, alpha=2))
row("baddbmm")(lambda make: torch.baddbmm(make(2, 3, 5), make(2, 3, 4), make(2, 4, 5)))
row("mv dot")(lambda make: (make(3, 4) @ make(4), make(4) @ make(4)))
row("linear")(lambda make: F.linear(make(3, 4), make(5, 4), make(5)))
row("einsum")(lambda make: torch.einsum("bij,bkj->bik", make(2, 3, 4), make(2, 5, 4)))
row("conv2d")(lambda make: F.conv2d(make(2, 3, 8, 8), make(4, 3, 3, 3), make(4), stride=2, padding=1))
row("conv2d groups")(lambda make: F.conv2d(make(2, 4, 8, 8), make(4, 1, 3, 3), None, padding=1, groups=4))
row("conv1d")(lambda make: F.conv1d(make(2, 3, 9), make(4, 3, 3), make(4), dilation=2))
row("conv_transpose2d")(lambda make: F.conv_transpose2d(make(2, 3, 5, 5), make(3, 4, 3, 3), make(4), stride=2, output_padding=1))

row("gelu")(lambda make: F.gelu(make(3, 4)))
row("gelu tanh")(lambda make: F.gelu(make(3, 4), approximate="tanh"))
for _name in "silu mish hardswish hardsigmoid elu selu celu leaky_relu softplus softshrink hardshrink hardtanh relu6 logsigmoid".split():
    row(_name)(lambda make, f=getattr(F, _name): f(make(3, 5) * 3))
row("glu")(lambda make: F.glu(make(3, 6)))
row("softmax")(lambda make: make(3, 5).softmax(-1))
row("log_softmax")(lambda make: make(3, 5).log_softmax(0))
row("threshold")(lambda make: F.threshold(make(3, 4), 0.1, 2.0))
row("prelu")(lambda make: F.prelu(make(3, 4, 5), make(4)))

row("batch_norm train")(lambda make: F.batch_norm(make(4, 3, 5, 5), make.zeros(3), make.ones(3), make(3), make(3), training=True))
row("batch_norm eval")(lambda make: F.batch_norm(make(4, 3, 5, 5), make.zeros(3) + 0.1, make.ones(3) * 2, make(3), make(3)))
row("layer_norm")(lambda make: F.layer_norm(make(4, 3, 5), (3, 5), make(3, 5), make(3, 5)))
row("layer_norm plain")(lambda make: F.layer_norm(make(4, 5), (5,)))
row("group_norm")(lambda make: F.group_norm(make(4, 6, 5), 3, make(6), make(6)))
row("embedding")(lambda make: F.embedding(make.ints(7, 3, 4), make(7, 5), padding_idx=0))
row("max_pool2d")(lambda make: F.max_pool2d(make(2, 3, 8, 8), 2))
row("avg_pool2d")(lambda make: F.avg_pool2d(make(2, 3, 8, 8), 3, stride=2, padding=1))
row("adaptive_avg_pool2d")(lambda make: F.adaptive_avg_pool2d(make(2, 3, 8, 8), (2, 3)))
row("adaptive_avg_pool2d one")(lambda make: F.adaptive_avg_pool2d(make(2, 3, 8, 8), 1))
row("scaled_dot_product_attention")(lambda make: F.scaled_dot_product_attention(make(2, 2, 4, 3), make(2, 2, 4, 3), make(2, 2, 4, 3), is_causal=True))

row("mse_loss")(lambda make: F.mse_loss(make(3, 4), make(3, 4)))
row("l1_loss")(lambda make: F.l1_loss(make(3, 4), make(3, 4)))
row("smooth_l1_loss")(lambda make: F.smooth_l1_loss(make(3, 4), make(3, 4), beta=0.5))
row("huber_loss")(lambda make: F.huber_loss(make(3, 4), make(3, 4)))
row("cross_entropy")(lambda make: F.cross_entropy(make(6, 4), make.ints(4, 6)))
row("cross_entropy weight ignore")(lambda make: F.cross_entropy(make(6, 4), make.ints(4, 6), weight=make(4).detach().abs(), ignore_index=1))
row("cross_entropy smoothing")(lambda make: F.cross_entropy(make(6, 4), make.ints(4, 6), label_smoothing=0.1))
row("cross_entropy 2d")(lambda make: F.cross_entropy(make(2, 4, 3, 3), make.ints(4, 2, 3, 3)))
row("nll_loss none")(lambda make: F.nll_loss(make(6, 4).log_softmax(1), make.ints(4, 6), reduction="none"))
row("binary_cross_entropy")(lambda make: F.binary_cross_entropy(make(3, 4).sigmoid(), make.bools(3, 4).float()))
row("bce_with_logits")(lambda make: F.binary_cross_entropy_with_logits(make(3, 4), make.bools(3, 4).float()))
row("kl_div")(lambda make: F.kl_div(make(3, 4).log_softmax(1), make(3, 4).softmax(1).detach(), reduction="batchmean"))

row("index int")(lambda make: make(5, 4)[2])
row("index slice step")(lambda make: make(5, 4)[1:5:2, ::3])
row("index tensor")(lambda make: make(5, 4)[make.ints(5, 3)])
row("index two tensors")(lambda make: make(5, 4)[make.ints(5, 3), make.ints(4, 3)])
row("index middle")(lambda make: make(5, 4, 3)[:, make.ints(4, 2, 2)])
row("index apart")(lambda make: make(5, 4, 3)[make.ints(5, 2), :, make.ints(3, 2)])
row("index mask")(lambda make: make(5, 4)[make.bools(5)])
row("index put")(lambda make: make(5, 4).detach().clone().index_put_((make.ints(5, 3),), make(3, 4).detach(), accumulate=True))
row("setitem")(lambda make: _setitem(make(5, 4).detach().clone(), make.ints(4, 2)))
row("setitem mask")(lambda make: _setitem(make(5, 4).detach().clone(), make.bools(5, 4)))
row("gather")(lambda make: make(3, 4).gather(1, make.ints(4, 3, 2)))
row("scatter")(lambda make: make(3, 4).scatter(1, make.ints(1, 3, 1), make(3, 1)))
row("scatter value")(lambda make: make(3, 4).scatter(1, make.ints(4, 3, 1), 2.0))
row("scatter_add")(lambda make: make(3, 4).scatter_add(0, make.ints(3, 3, 4), make(3, 4)))
row("index_select")(lambda make: make(3, 4).index_select(1, make.ints(4, 6)))
row("index_add")(lambda make: make(3, 4).index_add(0, make.ints(3, 5), make(5, 4)))
row("masked_fill")(lambda make: make(3, 4).masked_fill(make.bools(3, 4), -1.0))
row("masked_select")(lambda make: make(3, 4).masked_select(make.bools(3, 4)))
row("nonzero")(lambda make: make.ints(2, 3, 4).nonzero())
row("unique")(lambda make: torch.unique(make.ints(4, 20), return_inverse=True, return_counts=True))
row("unique_consecutive")(lambda make: torch.unique_consecutive(make.ints(2, 20), return_counts=True))
row("cat")(lambda make: torch.cat([make(2, 3), make(2, 1), make(2, 2)], 1))
row("cat dtypes")(lambda make: torch.cat([make.ints(5, 2, 3), make(2, 3)]))
row("stack")(lambda make: torch.stack([make(2, 3), make(2, 3)], 1))
row("split chunk")(lambda make: (*make(6, 2).split(4), *make(6, 2).chunk(2, 1)))
row("pad")(lambda make: F.pad(make(3, 4), (1, 2, 0, 1), value=3.0))
row("flip roll")(lambda make: (make(3, 4).flip(0, 1), make(3, 4).roll(1, 1)))
row("tril triu")(lambda make: (make(4, 4).tril(), make(4, 4).triu(1)))
row("repeat expand")(lambda make: (make(3, 1).repeat(2, 4), make(3, 1).expand(3, 4) * 2))
row("permute contiguous")(lambda make: make(2, 3, 4).permute(2, 0, 1).contiguous())
row("reshape view")(lambda make: (make(2, 6).view(3, 4), make(2, 3, 4).transpose(1, 2).reshape(8, 3)))
row("to dtypes")(lambda make: tuple(make(3, 4).detach().mul(3).to(d) for d in (torch.float16, torch.bfloat16, torch.int32, torch.bool)))
row("one_hot")(lambda make: F.one_hot(make.ints(5, 4), 5))
row("arange")(lambda make: (torch.arange(5, device=make.device), torch.arange(0.5, 3, 0.4, device=make.device)))
row("linspace eye")(lambda make: (torch.linspace(0, 1, 7, device=make.device), torch.eye(3, 4, device=make.device)))
row("full zeros ones")(lambda make: (torch.full((2, 3), 1.5, device=make.device), torch.zeros(3, device=make.device), torch.ones_like(make.ints(3, 4))))
row("half arithmetic")(lambda make: (make(3, 4).detach().half() + make(4).detach().half()) * 2)
row("empty inputs")(lambda make: (make(0, 3) + make(3), make(0, 3).sum(0), torch.cat([make(0, 3), make(2, 3)])))
row("out= resized")(lambda make: torch.add(make(3, 4).detach(), 1, out=torch.empty(0, device=make.device)))
row("in place")(lambda make: make(3, 4).detach().clone().add_(1).mul_(2).clamp_(max=3).exp_().neg_().zero_().fill_(3).sub_(1))

for _name in ("LSTM", "GRU", "RNN"):
    def _recurrent(make, cls=getattr(torch.nn, _name)):
        module = cls(3, 4, batch_first=True, bidirectional=True)
        names, sizes = zip(*((n, p.shape) for n, p in module.named_parameters()))
        parameters = dict(zip(names, (make(*size) for size in sizes)))
        return torch.func.functional_call(module.to(make.device), parameters, (make(2, 5, 3),))[0]
    row(_name)(_recurrent)


def _setitem(t, index):
    if index.dtype == torch.bool:
        t[index] = 7
    else:
        t[:, index] = 7
    return t
