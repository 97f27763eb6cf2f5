"""Indexing, scattering, sorting, histograms and segments on npu where PyTorch's operator database does not look: index expressions,
errors, overlapping writes, results whose size depends on data."""
import warnings

import pytest
import torch
import torch_npu
from pairs import strict_zip

aten = torch.ops.aten


@pytest.fixture(autouse=True)
def native():
    torch_npu.reset_fallbacks()
    yield
    assert not torch_npu.fallbacks(), "computed on the CPU"


def move(value):
    if isinstance(value, torch.Tensor):
        return value.npu()
    if isinstance(value, (tuple, list)):
        return type(value)(move(v) for v in value)
    if isinstance(value, dict):
        return {k: move(v) for k, v in value.items()}
    return value


def same(actual, expected):
    if isinstance(expected, (tuple, list)):
        assert len(actual) == len(expected)
        for a, e in zip(actual, expected):
            same(a, e)
    elif isinstance(expected, torch.Tensor):
        assert actual.device.type == "npu" and actual.dtype == expected.dtype
        torch.testing.assert_close(actual.cpu(), expected, equal_nan=True)
    else:
        assert actual == expected


def both(function, *args, **kwargs):
    """The function's result on npu is its result on the CPU."""
    expected = function(*args, **kwargs)
    same(function(*move(args), **move(kwargs)), expected)


def both_fail(function, *args, **kwargs):
    """The function raises on npu what it raises on the CPU, and the device works afterwards."""
    with pytest.raises(Exception) as expected:
        function(*args, **kwargs)
    with pytest.raises(type(expected.value)) as actual:
        function(*move(args), **move(kwargs))
        torch.npu.synchronize()
    assert str(expected.value).splitlines()[0][:60] in str(actual.value)
    assert torch.ones(3, device="npu").sum().item() == 3


X = torch.arange(60.0).reshape(3, 4, 5)
MASK = X % 7 < 3
I, J = torch.tensor([0, 2, -1]), torch.tensor([[1], [-2]])

INDICES = {
    "row": (I,), "two": (I, I), "broadcast": (J, I), "apart": (I, slice(None), I), "last": (Ellipsis, I), "middle": (slice(None), I),
    "none": (None, I, None), "mask": (MASK,), "leading mask": (MASK[..., 0],), "mask and index": (slice(None), MASK[0, :, 0], 2),
    "row mask": (MASK[:, 0, 0], I[:1]), "steps": (slice(None, None, 2), slice(1, 4, 2)), "int32": (I.int(),), "empty": (I[:0],),
    "empty mask": (torch.zeros(3, dtype=torch.bool),), "number": (1, -1), "list": ([0, 2],), "0-dim": (torch.tensor(1),),
    "newaxis mask": (None, MASK), "all": (I, I, I), "ellipsis between": (I, Ellipsis, 1), "bool": (True,), "uint8": (MASK.byte()[:, 0, 0],),
}


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.filterwarnings("ignore:indexing with dtype torch.uint8")
def test_reading(name):
    index = INDICES[name]
    both(lambda x, i: x[tuple(i)], X, index)
    both(lambda x, i: x.transpose(0, 2).transpose(0, 2)[tuple(i)], X, index)
    both(lambda x, i: x[::1, ::1][tuple(i)], X.to(torch.complex128), index)


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.filterwarnings("ignore:indexing with dtype torch.uint8")
def test_writing(name):
    index = INDICES[name]

    def number(x, i):
        x = x.clone()
        x[tuple(i)] = -1
        return x

    def tensor(x, i):
        x = x.clone().permute(2, 0, 1).contiguous().permute(1, 2, 0)
        x[tuple(i)] = x[tuple(i)] * 2 + 1
        return x

    both(tensor, X, index)
    if name != "uint8":  # that becomes masked_fill_, which takes no uint8
        both(number, X, index)
        both(number, X.to(torch.complex64), index)


def test_index_on_the_other_side():
    x = X.npu()
    same(x[I], X[I])
    same(x[MASK], X[MASK])
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        X[I.npu()]


def test_duplicates_accumulate():
    index = torch.tensor([1, 1, -2, 1])
    values = torch.tensor([1.0, 10, 100, 1000])
    for dtype in (torch.float32, torch.int64, torch.complex64):
        both(lambda x, i, v: x.index_put((i,), v, accumulate=True), torch.zeros(3, dtype=dtype), index, values.to(dtype))
    both(lambda x, i, v: x.index_put((i,), v, accumulate=True), torch.zeros(3, 2), index, values[:, None])
    both(lambda x, i, v: x.clone().index_put_((i,), v, accumulate=True), torch.zeros(3), index, torch.tensor(2.0))


def test_0_dim():
    both(lambda x: (x[()], x[...], x[None], x[torch.tensor(True, device=x.device)]), torch.tensor(3.0))
    both(lambda x: x.index_fill(0, torch.tensor(0, device=x.device), 5), torch.tensor(3.0))
    both(lambda x: (x.sort(), x.topk(1), x.unique(), x.nonzero(), x.flip(0), x.take(torch.tensor([0], device=x.device))), torch.tensor(3.0))
    both(lambda x, i: (x.gather(0, i), x.index_select(0, i), x.scatter(0, i, x)), torch.tensor(3.0), torch.tensor(0))


def test_without_elements():
    e = torch.empty(0, 3)
    both(lambda x: (x.sort(1), x.topk(2, 1), x.nonzero(), x.flip(0), x.roll(1, 0), x.unique(), x.unique(dim=0), x[x > 0], x.repeat(2, 1)), e)
    both(lambda x, i: (x.gather(0, i), x.index_select(0, i[:, 0]), x.index_add(0, i[:, 0], x)), e, torch.empty(0, 3, dtype=torch.long))
    both(lambda x, s: torch.searchsorted(s, x), torch.empty(0), torch.arange(3.0))
    both(lambda x: torch.bincount(x, minlength=3), torch.empty(0, dtype=torch.long))


@pytest.mark.parametrize("function, args", {
    "too many": (lambda x: x[0, 0, 0, 0], (X,)),
    "too many tensors": (lambda x, i: x[i, i, i, i], (X, I)),
    "float index": (lambda x, i: x[i], (X, I.float())),
    "shapes": (lambda x, i, j: x[i, j], (X, I, torch.tensor([0, 1]))),
    "mask shape": (lambda x, m: x[m], (X, MASK[:2])),
    "value shape": (lambda x, i, v: x.index_put_((i,), v), (X.clone(), I, torch.ones(7))),
    "value dtype": (lambda x, i, v: x.index_put_((i,), v), (X.clone(), I, torch.ones(4, 5, dtype=torch.double))),
    "select": (lambda x: x.select(0, 5), (X,)),
    "gather dims": (lambda x, i: x.gather(0, i), (X, I)),
    "gather dtype": (lambda x, i: x.gather(0, i), (X[0, 0], I.float())),
    "scatter reduce": (lambda x, i: x.scatter(0, i, 1.0, reduce="mean"), (X[0, 0].clone(), I)),
    "index_select vector": (lambda x, i: x.index_select(0, i), (X, J)),
    "index_add size": (lambda x, i: x.index_add(0, i, x[:2]), (X, I)),
    "index_reduce": (lambda x, i: x.index_reduce(0, i, x, "sum"), (X, I % 3)),
    "masked_fill value": (lambda x, m: x.masked_fill(m, x), (X, MASK)),
    "masked_fill mask": (lambda x, m: x.masked_fill(m, 1), (X, MASK.long())),
    "masked_select mask": (lambda x, m: x.masked_select(m), (X, MASK.long())),
    "topk": (lambda x: x.topk(9), (X,)),
    "kthvalue": (lambda x: x.kthvalue(9), (X,)),
    "sort dim": (lambda x: x.sort(3), (X,)),
    "cat dims": (lambda x: torch.cat([x, x[0, 0]]), (X,)),
    "stack sizes": (lambda x: torch.stack([x, x[:1]]), (X,)),
    "repeat": (lambda x: x.repeat(2), (X,)),
    "repeat negative": (lambda x: x.repeat(1, 1, -1), (X,)),
    "narrow_copy": (lambda x: torch.narrow_copy(x, 0, 2, 2), (X,)),
    "unique dim": (lambda x: x[:0].unique(dim=1), (X,)),
    "nonzero_static": (lambda x: torch.nonzero_static(x, size=-1), (X,)),
    "searchsorted dims": (lambda x: torch.searchsorted(x, x[0]), (X,)),
    "searchsorted side": (lambda x: torch.searchsorted(x, x, side="middle"), (X,)),
    "bincount negative": (lambda x: torch.bincount(x), (torch.tensor([1, -1]),)),
    "histogram bins": (lambda x: torch.histogram(x, 0), (X,)),
    "histogram range": (lambda x: torch.histogram(x, 2, range=(2.0, 1.0)), (X,)),
    "histogram int": (lambda x: torch.histogram(x, 2), (I,)),
    "histogram infinite": (lambda x: torch.histogram(x, 2), ((X + 1) / 0,)),
    "segment lengths": (lambda x, n: torch.segment_reduce(x, "sum", lengths=n), (X[0, 0], I)),
    "segment sum": (lambda x, n: torch.segment_reduce(x, "sum", lengths=n), (X[0, 0], I.abs())),
    "segment none": (lambda x: torch.segment_reduce(x, "sum"), (X[0, 0],)),
    "split sizes": (lambda x: torch.split_with_sizes_copy(x, [1, 1], out=[x, x]), (X,)),
    "arange": (lambda x: torch.arange(5, 1, device=x.device), (X,)),
    "tril_indices": (lambda x: torch.tril_indices(-1, 2, device=x.device), (X,)),
}.values(), ids=lambda v: "")
@pytest.mark.filterwarnings("ignore")
def test_refused(function, args):
    both_fail(function, *args)


@pytest.mark.parametrize("function", [
    lambda x, i: x[i], lambda x, i: x.index_select(0, i), lambda x, i: x.gather(0, i), lambda x, i: x.take(i),
    lambda x, i: x.index_put_((i,), x[:2].clone()), lambda x, i: x.index_add_(0, i, x[:2].clone()), lambda x, i: x.scatter_(0, i, 1.0),
], ids=["index", "index_select", "gather", "take", "index_put", "index_add", "scatter"])
def test_index_out_of_range(function):
    x = torch.arange(4.0).npu()
    with pytest.raises((RuntimeError, IndexError), match="out of (range|bounds)"):
        function(x, torch.tensor([0, 4]).npu())
        torch.npu.synchronize()
    assert (torch.arange(4.0).npu() + 1).sum().item() == 10


EXPANDED = {
    "scatter": lambda x: x.scatter_(0, I[None].abs().to(x.device), 1.0),
    "index_add": lambda x: x.index_add_(0, I[:1].to(x.device), torch.ones(1, 4, device=x.device)),
    "index_copy": lambda x: x.index_copy_(0, I.to(x.device), torch.ones(3, 4, device=x.device)),
    "masked_scatter": lambda x: x.masked_scatter_(x > -1, torch.ones(12, device=x.device)),
    "put": lambda x: x.put_(I.to(x.device), torch.ones(3, device=x.device)),
    "copy": lambda x: x.copy_(torch.ones(3, 4, device=x.device)),
    "copy from CPU": lambda x: x.copy_(torch.ones(3, 4)),
    "index_put": lambda x: x.index_put_((I.to(x.device),), torch.ones(4, device=x.device)),
    "masked_fill": lambda x: x.masked_fill_(x > -1, 1),
    "index_fill": lambda x: x.index_fill_(0, I.to(x.device), 1),
    "shifted": lambda x: x[0, 1:].copy_(x[0, :-1]),
    "index_put itself": lambda x: x[0].index_put_((I.to(x.device),), x[0, 1:]),
}


@pytest.mark.parametrize("name", EXPANDED)
def test_overlapping_writes(name):
    """Refused or warned of as on the CPU."""
    said = []
    for device in ("cpu", "npu"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            error = ""
            try:
                EXPANDED[name](torch.arange(4.0).to(device).expand(3, 4))
                torch.npu.synchronize()
            except RuntimeError as e:
                error = str(e).splitlines()[0]
        said.append((error, [str(w.message).split(" (Triggered")[0] for w in caught]))
    assert said[0] == said[1] and (said[0][0] or said[0][1])


def test_sorting():
    x = torch.tensor([[3.0, float("nan"), 1, 3], [0, -0.0, float("inf"), 2]])
    for descending in (False, True):
        both(lambda t: torch.sort(t, dim=1, descending=descending, stable=True), x)
        both(lambda t: torch.sort(t.t(), dim=0, descending=descending, stable=True), x)
    both(lambda t: torch.topk(t, 2, largest=False), x)
    both(lambda t: t.sort(0).values.sort(1).values, torch.randint(-9, 9, (4, 5), dtype=torch.int8))

    def out(t):
        values, indices = torch.empty(0, device=t.device), torch.empty(0, dtype=torch.long, device=t.device)
        torch.sort(t, out=(values, indices), stable=True, dim=-1)
        return values, indices

    both(out, X)


def test_unique():
    x = torch.tensor([[2, 1, 2], [2, 1, 2], [0, 1, 0], [2, 1, 2]])
    for dtype in (torch.int64, torch.float32, torch.bool):
        t = x.to(dtype)
        both(lambda t: torch.unique(t, return_inverse=True, return_counts=True), t)
        for dim in (0, 1, -1):
            both(lambda t: torch.unique(t, return_inverse=True, return_counts=True, dim=dim), t)
            both(lambda t: torch.unique_consecutive(t, return_inverse=True, return_counts=True, dim=dim), t)
            both(lambda t: torch.unique_consecutive(t, dim=dim), t)
    both(aten._unique, x)
    both(lambda t: aten.unique_dim_consecutive(t, 0), x)


def test_nonzero():
    both(lambda x: (x.nonzero(), x.nonzero(as_tuple=True), x.argwhere()), MASK)
    both(lambda x: torch.nonzero_static(x, size=4), MASK)
    both(lambda x: torch.nonzero_static(x, size=99, fill_value=7), MASK)
    both(lambda x: x.nonzero(), torch.tensor([0, 1j, 2]))
    both(lambda x: torch.nonzero(x, out=torch.empty(0, dtype=torch.long, device=x.device)), MASK.transpose(0, 2))


def test_searching():
    edges = torch.tensor([1.0, 2, 2, 4])
    for right in (False, True):
        both(lambda e: torch.searchsorted(e, 2.0, right=right), edges)
        both(lambda e: torch.bucketize(2, e, right=right), edges)
        both(lambda e, x: torch.searchsorted(e, x, right=right, out_int32=True), edges, X)
    both(lambda e, x, s: torch.searchsorted(e, x, sorter=s), edges.flip(0), X, torch.tensor([3, 2, 1, 0]))


def test_histograms():
    x = torch.tensor([0.0, 1, 1, 2.5, 4, float("nan")])
    both(lambda t: torch.histogram(t, 4, range=(0.0, 4.0)), x)
    both(lambda t: torch.histogram(t[:-1], 3), x)
    both(lambda t: torch.histogram(t[:0], 3), x)
    both(lambda t: torch.histogram(t[:1], 3), x)
    both(lambda t, w: torch.histogram(t[:-1], 3, weight=w, density=True), x, torch.arange(5.0))
    both(lambda t, e: torch.histogram(t, e), x, torch.tensor([0.0, 1, 1.5, 4]))
    both(lambda t: torch.histogramdd(t, [2, 3], range=[0.0, 1, -1, 2]), torch.randn(20, 2))
    both(lambda t, a, b: torch.histogramdd(t, (a, b), density=True), torch.rand(20, 2), torch.tensor([0.0, 0.5, 1]), torch.tensor([0.0, 0.2, 1]))


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min", "prod"])
def test_segments(reduce):
    x = torch.tensor([1.0, 2, 2, 0, 5, 6], requires_grad=True)
    lengths = torch.tensor([2, 0, 3, 1])

    def run(t, n, **kwargs):
        result = torch.segment_reduce(t, reduce, lengths=n, **kwargs)
        return result.detach(), torch.autograd.grad(result, t, torch.arange(1.0, 5, device=t.device))[0]

    both(run, x, lengths)
    both(run, x, lengths, initial=2)
    both(lambda t, o: torch.segment_reduce(t, reduce, offsets=o), x.detach(), torch.tensor([0, 2, 2, 5]))
    both(lambda t, n: torch.segment_reduce(t, reduce, lengths=n, axis=1, unsafe=True), X, torch.tensor([[1, 2], [4, 0], [0, 3]]))


def test_jagged():
    values, offsets = torch.arange(10.0).reshape(5, 2), torch.tensor([0, 2, 2, 5])
    both(lambda v, o: aten._jagged_to_padded_dense_forward(v, [o], [4], -1.0), values, offsets)
    both(lambda v, o: aten._jagged_to_padded_dense_forward(v, [o], [2], -1.0), values[:, 0], offsets)
    both(lambda d, o: aten._padded_dense_to_jagged_forward(d, [o], 5), torch.arange(24.0).reshape(3, 4, 2), offsets)
    jagged = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(1, 3)], layout=torch.jagged, device="npu")
    same((jagged * 2).to_padded_tensor(0.0), torch.tensor([[[2.0] * 3] * 2, [[2.0] * 3, [0.0] * 3]]))


@pytest.mark.filterwarnings("ignore:The reduce argument")
def test_reductions_into_places():
    index, source = torch.tensor([0, 2, 0, -0]), torch.arange(1.0, 9).reshape(4, 2)
    for reduce in ("prod", "mean", "amax", "amin"):
        for include in (True, False):
            both(lambda x, i, s: x.index_reduce(0, i, s, reduce, include_self=include), torch.full((3, 2), 2.0), index, source)
            both(lambda x, i, s: x.index_reduce(1, i, s, reduce, include_self=include), torch.full((2, 3), 2), index, source.t().long())
    for reduce in ("add", "multiply"):
        both(lambda x, i, s: x.scatter(0, i, s, reduce=reduce), torch.full((3, 2), 2.0), index[:, None].expand(4, 2), source)
        both(lambda x, i: x.scatter(0, i, 3.0, reduce=reduce), torch.full((3, 2), 2.0), index[:, None].expand(4, 2))


def test_factories():
    def made(device):
        yield torch.tril_indices(3, 4, -1, device=device)
        yield torch.triu_indices(3, 4, 1, device=device, dtype=torch.int32)
        yield torch.tril_indices(0, 4, device=device)
        for dtype in (torch.int16, torch.uint8, torch.int64, torch.float64, torch.float16):
            yield torch.arange(1, 9, 2, device=device, dtype=dtype)
            yield torch.linspace(1, 8, 5, device=device, dtype=dtype)
            yield torch.logspace(0, 2, 3, device=device, dtype=dtype)
            yield torch.eye(3, 4, device=device, dtype=dtype)
        yield torch.eye(3, device=device, dtype=torch.complex64)
        yield torch.linspace(1, 2j, 5, device=device, dtype=torch.complex64)
        yield torch.arange(0, 2.5, 0.5, device=device)
        yield torch.arange(0.5, 3.7, 1, device=device, dtype=torch.int64)
        yield torch.arange(3.7, 0.5, -1, device=device, dtype=torch.int64)
        yield torch.arange(2**53, 2**53 + 3, 2, device=device)

    for actual, expected in strict_zip(made("npu"), made("cpu")):
        same(actual, expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_sequences_with_a_step_that_is_not_whole(dtype):
    x = torch.tensor([5, 6, 7], dtype=dtype)
    both(torch.mvlgamma, x, 3)
    for device in ("cpu", "npu"):  # torch 2.1 complains of the sequence, others of the result
        with pytest.raises(RuntimeError, match="step must be nonzero|can't be cast"):
            x.to(device, copy=True).mvlgamma_(3)


def test_parts():
    both(lambda x: torch.split_with_sizes_copy(x, [1, 3], 1), X)

    def out(x):
        parts = [torch.empty(0, device=x.device) for _ in range(2)]
        torch.split_with_sizes_copy(x, [1, 3], 1, out=parts)
        return parts

    both(out, X)
    both(lambda x: (x.repeat(2, 1, 1, 3), x.t().repeat(1, 2) if x.dim() == 2 else x, torch.narrow_copy(x, 1, 1, 2)), X)


def test_is_set_to():
    x = X.npu()
    assert x.is_set_to(x[...]) and not x.is_set_to(x[1]) and not x.is_set_to(x.clone())
