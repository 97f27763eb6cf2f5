"""Operator calls for test_softcann_ops.py: at least one per row of softcann/ops/*.yaml.

A case is the aclnn function, its arguments in order and what comes out: the expected tensors for every OUT (in order) and every
``Ref`` argument. ``None`` as an expectation means that only the call has to work.
"""
import math
import warnings

import torch
import torch.nn.functional as F

for _text in (".*triangular_solve is deprecated", "reduction: .mean. divides", "The reduce argument of torch.scatter"):
    warnings.filterwarnings("ignore", message=_text)
OUT = object()  # an output, made with the shape and dtype of the expectation
CASES = []


class Changed:
    """A tensor that the operator changes: what it holds before."""

    def __init__(self, tensor):
        self.tensor = tensor


class Space:
    """An output whose size depends on data: the memory the client offers."""

    def __init__(self, *shape, dtype=torch.float32):
        self.tensor = torch.zeros(shape, dtype=dtype)


class Drawn:
    """A tensor that gets random numbers: between `low` and `high`, `mean` on average (give or take `tolerance`)."""

    def __init__(self, *shape, low, high, mean, tolerance, dtype=torch.float32):
        self.tensor = torch.zeros(shape, dtype=dtype)
        self.low, self.high, self.mean, self.tolerance = low, high, mean, tolerance


#: Calls of random functions: name and arguments. Equal calls give equal numbers.
DRAWS = []


def draw(name, *arguments):
    DRAWS.append((name, arguments))


def case(name, *arguments, want, tolerance=None):
    CASES.append((name, arguments, want if isinstance(want, tuple) else (want,), tolerance))


def make(*shape, dtype=torch.float32, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def positive(*shape, seed=1):
    return make(*shape, seed=seed).abs() + 0.1


def unit(*shape, seed=1):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 0.8 + 0.1


def ints(high, *shape, dtype=torch.int64, seed=1):
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def bools(*shape, seed=1):
    return make(*shape, seed=seed) > 0


def grads(f, *inputs, of=None):
    """Output of f, the gradient given to it, and the gradients of the inputs."""
    inputs = [i.clone().requires_grad_() if i is not None and i.is_floating_point() else i for i in inputs]
    out = f(*inputs)
    g = make(*out.shape, seed=9)
    wanted = [i for i in inputs if i is not None and i.requires_grad]
    return out.detach(), g, tuple(torch.autograd.grad(out, wanted, g))


# ---- one input ------------------------------------------------------------------------------------------------------
UNARY = {
    "Abs": (torch.abs, make), "Acos": (torch.acos, unit), "Acosh": (lambda x: torch.acosh(x), lambda *s: positive(*s) + 1), "Asin": (torch.asin, unit),
    "Asinh": (torch.asinh, make), "Atan": (torch.atan, make), "Atanh": (torch.atanh, unit), "Ceil": (torch.ceil, make), "Cos": (torch.cos, make),
    "Cosh": (torch.cosh, make), "Erf": (torch.erf, make), "Erfc": (torch.erfc, make), "Erfinv": (torch.erfinv, unit), "Exp": (torch.exp, make),
    "Exp2": (torch.exp2, make), "Expm1": (torch.expm1, make), "Floor": (torch.floor, make), "Frac": (torch.frac, make), "Log": (torch.log, positive),
    "Log10": (torch.log10, positive), "Log1p": (torch.log1p, positive), "Log2": (torch.log2, positive), "Neg": (torch.neg, make),
    "Reciprocal": (torch.reciprocal, positive), "Round": (torch.round, make), "Rsqrt": (torch.rsqrt, positive), "Sigmoid": (torch.sigmoid, make),
    "Sign": (torch.sign, make), "Sin": (torch.sin, make), "Sinc": (torch.sinc, make), "Sinh": (torch.sinh, make), "Sqrt": (torch.sqrt, positive),
    "Square": (torch.square, make), "Tan": (torch.tan, make), "Tanh": (torch.tanh, make), "Trunc": (torch.trunc, make),
    "LogicalNot": (torch.logical_not, lambda *s: ints(2, *s)), "BitwiseNot": (torch.bitwise_not, lambda *s: ints(9, *s)),
    "IsFinite": (torch.isfinite, lambda *s: make(*s) / ints(2, *s)), "IsInf": (torch.isinf, lambda *s: make(*s) / ints(2, *s)),
    "IsNegInf": (torch.isneginf, lambda *s: make(*s) / ints(2, *s)), "IsPosInf": (torch.isposinf, lambda *s: make(*s) / ints(2, *s)),
    "Signbit": (torch.signbit, make), "Digamma": (torch.digamma, positive), "Lgamma": (torch.lgamma, positive),
    "Real": (torch.real, lambda *s: make(*s, dtype=torch.complex64)), "AngleV2": (torch.angle, make),
    "Relu": (torch.relu, make), "Gelu": (F.gelu, make), "Silu": (F.silu, make), "Mish": (F.mish, make), "Hardsigmoid": (F.hardsigmoid, make),
    "Hardswish": (F.hardswish, make), "Selu": (F.selu, make), "LogSigmoid": (F.logsigmoid, make), "SquaredRelu": (lambda x: x.relu() ** 2, make),
}
INPLACE = """Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Erf Erfc Erfinv Exp Exp2 Expm1 Floor Frac Log Log10 Log1p Log2 LogicalNot Neg
Reciprocal Round Rsqrt Sigmoid Sin Sinc Sinh Sqrt Tan Tanh Trunc Relu Mish Hardsigmoid Hardswish Selu""".split()
for _name, (_f, _input) in UNARY.items():
    case("aclnn" + _name, _input(3, 5), OUT, want=_f(_input(3, 5)))
    case("aclnn" + _name, _input(4, 6)[::2, ::3], OUT, want=_f(_input(4, 6)[::2, ::3]))
for _name in INPLACE:
    _f, _input = UNARY[_name]
    _before = _input(3, 5) if _name not in ("LogicalNot",) else bools(3, 5)
    case("aclnnInplace" + _name, Changed(_before.t()), want=_f(_before.t()))
case("aclnnAbs", make(5, dtype=torch.bfloat16), OUT, want=make(5, dtype=torch.bfloat16).abs())
case("aclnnAbs", make(0, 3), OUT, want=make(0, 3))
case("aclnnAbs", torch.tensor(-2.0), OUT, want=torch.tensor(2.0))
case("aclnnAbs", torch.tensor([True, False]), OUT, want=torch.tensor([True, False]))
case("aclnnInplaceOne", Changed(make(3)), want=torch.ones(3))
case("aclnnInplaceZero", Changed(make(3)), want=torch.zeros(3))
case("aclnnRoundDecimals", make(3, 4), 2, OUT, want=make(3, 4).round(decimals=2))
case("aclnnInplaceRoundDecimals", Changed(make(3, 4)), 1, want=make(3, 4).round(decimals=1))
_odd = torch.tensor([1.0, math.nan, math.inf, -math.inf])
case("aclnnNanToNum", _odd, 1.5, 2.5, 3.5, OUT, want=_odd.nan_to_num(1.5, 2.5, 3.5))
case("aclnnInplaceNanToNum", Changed(_odd), 1.5, 2.5, 3.5, want=_odd.nan_to_num(1.5, 2.5, 3.5))
case("aclnnLogit", unit(4), 1e-3, OUT, want=unit(4).logit(1e-3))
_, _g, (_gx,) = grads(lambda x: x.logit(1e-3), unit(4))
case("aclnnLogitGrad", unit(4), _g, 1e-3, OUT, want=_gx)
case("aclnnCast", make(3, 4), torch.int32, OUT, want=make(3, 4).to(torch.int32))
case("aclnnInplaceCopy", Changed(torch.zeros(3, 4, dtype=torch.float16)), make(4), want=make(4).half().expand(3, 4))
case("aclnnPolar", positive(3), make(3), OUT, want=torch.polar(positive(3), make(3)))
case("aclnnComplex", make(3), make(3, seed=2), OUT, want=torch.complex(make(3), make(3, seed=2)))

# ---- two inputs -----------------------------------------------------------------------------------------------------
_a, _b, _p, _q = make(3, 4), make(4, seed=2), positive(3, 4), positive(4, seed=2)
_i, _j = ints(30, 3, 4), ints(5, 4, seed=2) + 1
for _name, _f in {"Add": torch.add, "Sub": torch.sub}.items():
    case(f"aclnn{_name}", _a, _b, 2, OUT, want=_f(_a, _b, alpha=2))
    case(f"aclnnInplace{_name}", Changed(_a), _b, 0.5, want=_f(_a, _b, alpha=0.5))
    case(f"aclnn{_name}s", _a, 1.5, 2, OUT, want=_f(_a, 1.5, alpha=2))
    case(f"aclnnInplace{_name}s", Changed(_a), 1.5, 2, want=_f(_a, 1.5, alpha=2))
for _tensor, _scalar, _f, _x, _y, _s in [
        ("Mul", "Muls", torch.mul, _a, _b, 1.5), ("Div", "Divs", torch.div, _p, _q, 1.5), ("FloorDivide", "FloorDivides", torch.floor_divide, _i, _j, 4),
        ("FmodTensor", "FmodScalar", torch.fmod, _a, _q, 0.7), ("RemainderTensorTensor", "RemainderTensorScalar", torch.remainder, _a, _q, 0.7),
        ("PowTensorTensor", "PowTensorScalar", torch.pow, _p, _b, 1.5), ("BitwiseAndTensor", "BitwiseAndScalar", torch.bitwise_and, _i, _j, 6),
        ("BitwiseOrTensor", "BitwiseOrScalar", torch.bitwise_or, _i, _j, 6), ("BitwiseXorTensor", "BitwiseXorScalar", torch.bitwise_xor, _i, _j, 6)]:
    case("aclnn" + _tensor, _x, _y, OUT, want=_f(_x, _y))
    case("aclnnInplace" + _tensor, Changed(_x), _y, want=_f(_x, _y))
    case("aclnn" + _scalar, _x, _s, OUT, want=_f(_x, _s))
    case("aclnnInplace" + _scalar, Changed(_x), _s, want=_f(_x, _s))
for _name, _f in {"Eq": torch.eq, "Ne": torch.ne, "Lt": torch.lt, "Le": torch.le, "Gt": torch.gt, "Ge": torch.ge}.items():
    _x, _y = ints(3, 3, 4), ints(3, 4, seed=2)
    case(f"aclnn{_name}Tensor", _x, _y, OUT, want=_f(_x, _y))
    case(f"aclnn{_name}Scalar", _x, 1, OUT, want=_f(_x, 1))
    case(f"aclnnInplace{_name}Tensor", Changed(_x), _y, want=_f(_x, _y).long())
    case(f"aclnnInplace{_name}Scalar", Changed(_x), 1, want=_f(_x, 1).long())
for _name, _f, _x, _y in [
        ("Atan2", torch.atan2, _a, _b), ("Maximum", torch.maximum, _a, _b), ("Minimum", torch.minimum, _a, _b), ("LogAddExp", torch.logaddexp, _a, _b),
        ("LogAddExp2", torch.logaddexp2, _a, _b), ("XLogYTensor", torch.xlogy, _a, _q), ("XLogYScalarOther", torch.xlogy, _a, 2.5),
        ("XLogYScalarSelf", torch.xlogy, 2.5, _q), ("PowScalarTensor", torch.pow, 2.5, _a), ("RemainderScalarTensor", torch.remainder, 2.5, _q),
        ("Gcd", torch.gcd, _i, _j), ("LeftShift", torch.bitwise_left_shift, _i, _j), ("LeftShifts", torch.bitwise_left_shift, _i, 2),
        ("RightShift", torch.bitwise_right_shift, _i, _j), ("LogicalAnd", torch.logical_and, bools(3, 4), bools(4)),
        ("LogicalOr", torch.logical_or, bools(3, 4), bools(4)), ("LogicalXor", torch.logical_xor, bools(3, 4), bools(4)),
        ("Heaviside", torch.heaviside, _a, _b)]:
    case("aclnn" + _name, _x, _y, OUT, want=_f(_x, _y))
for _name, _f, _x, _y in [
        ("Atan2", torch.atan2, _a, _b), ("XLogYTensor", torch.xlogy, _a, _q), ("XLogYScalarOther", torch.xlogy, _a, 2.5),
        ("LogicalAnd", torch.logical_and, bools(3, 4), bools(4)), ("LogicalOr", torch.logical_or, bools(3, 4), bools(4))]:
    case("aclnnInplace" + _name, Changed(_x), _y, want=_f(_x, _y))
case("aclnnLerp", _a, make(3, 4, seed=3), unit(3, 4), OUT, want=torch.lerp(_a, make(3, 4, seed=3), unit(3, 4)))
case("aclnnInplaceLerp", Changed(_a), make(3, 4, seed=3), unit(3, 4), want=torch.lerp(_a, make(3, 4, seed=3), unit(3, 4)))
case("aclnnLerps", _a, make(3, 4, seed=3), 0.3, OUT, want=torch.lerp(_a, make(3, 4, seed=3), 0.3))
case("aclnnInplaceLerps", Changed(_a), make(3, 4, seed=3), 0.3, want=torch.lerp(_a, make(3, 4, seed=3), 0.3))
case("aclnnAddcmul", _a, _b, _q, 0.5, OUT, want=torch.addcmul(_a, _b, _q, value=0.5))
case("aclnnInplaceAddcmul", Changed(_a), _b, _q, 0.5, want=torch.addcmul(_a, _b, _q, value=0.5))
case("aclnnAddcdiv", _a, _b, _q, 0.5, OUT, want=torch.addcdiv(_a, _b, _q, value=0.5))
case("aclnnInplaceAddcdiv", Changed(_a), _b, _q, 0.5, want=torch.addcdiv(_a, _b, _q, value=0.5))
case("aclnnRsub", _a, _b, 2, OUT, want=torch.rsub(_a, _b, alpha=2))
case("aclnnRsubs", _a, 1.5, 2, OUT, want=torch.rsub(_a, 1.5, alpha=2))
for _mode, _rounding in enumerate((None, "trunc", "floor")):
    case("aclnnDivMod", _a, _q, _mode, OUT, want=torch.div(_a, _q, rounding_mode=_rounding))
    case("aclnnDivMods", _a, 0.3, _mode, OUT, want=torch.div(_a, 0.3, rounding_mode=_rounding))
case("aclnnInplaceDivMod", Changed(_a), _q, 2, want=torch.div(_a, _q, rounding_mode="floor"))
case("aclnnInplaceDivMods", Changed(_a), 0.3, 1, want=torch.div(_a, 0.3, rounding_mode="trunc"))
case("aclnnAddV3", 1.5, _a, 2, OUT, want=1.5 + 2 * _a)
case("aclnnAddRelu", _a, _b, 2, OUT, want=torch.relu(_a + 2 * _b))
case("aclnnInplaceAddRelu", Changed(_a), _b, 2, want=torch.relu(_a + 2 * _b))
case("aclnnSWhere", bools(3, 4), _a, _b, OUT, want=torch.where(bools(3, 4), _a, _b))
case("aclnnClamp", _a, -0.5, 0.5, OUT, want=_a.clamp(-0.5, 0.5))
case("aclnnClamp", _a, None, 0.5, OUT, want=_a.clamp(max=0.5))
case("aclnnClampMin", _a, -0.5, OUT, want=_a.clamp(min=-0.5))
case("aclnnClampMax", _a, 0.5, OUT, want=_a.clamp(max=0.5))
case("aclnnInplaceClampMax", Changed(_a), 0.5, want=_a.clamp(max=0.5))
case("aclnnClampTensor", _a, -_q, _q, OUT, want=_a.clamp(-_q, _q))
case("aclnnClampMinTensor", _a, _b, OUT, want=_a.clamp(min=_b))
case("aclnnInplaceClampMinTensor", Changed(_a), _b, want=_a.clamp(min=_b))
case("aclnnClampMaxTensor", _a, _b, OUT, want=_a.clamp(max=_b))
case("aclnnInplaceClampMaxTensor", Changed(_a), _b, want=_a.clamp(max=_b))
case("aclnnIsClose", _a, _a + 1e-3 * ints(2, 3, 4), 1e-5, 1e-5, False, OUT, want=torch.isclose(_a, _a + 1e-3 * ints(2, 3, 4), 1e-5, 1e-5))
case("aclnnEqual", _a, _a.clone(), OUT, want=torch.tensor([True]))
case("aclnnEqual", _a, _b, OUT, want=torch.tensor([False]))

# ---- reductions -----------------------------------------------------------------------------------------------------
_x = make(3, 4, 5)
_holes = torch.where(bools(3, 4, 5), _x, torch.tensor(math.nan))
case("aclnnReduceSum", _x, (0, 2), True, torch.float32, OUT, want=_x.sum((0, 2), keepdim=True))
case("aclnnReduceSum", _x, (), False, torch.float32, OUT, want=_x.sum())
case("aclnnReduceSum", ints(9, 3, 4), (1,), False, torch.int64, OUT, want=ints(9, 3, 4).sum(1))
case("aclnnReduceSum", bools(3, 4), (1,), False, torch.int64, OUT, want=bools(3, 4).sum(1))
case("aclnnReduceNansum", _holes, (1,), False, torch.float32, OUT, want=_holes.nansum(1))
case("aclnnMean", _x, (1,), False, torch.float32, OUT, want=_x.mean(1))
case("aclnnMeanV2", _x, (1, 2), True, True, OUT, want=_x.mean((1, 2), keepdim=True))
case("aclnnProd", _x, torch.float32, OUT, want=_x.prod())
case("aclnnProdDim", _x, 1, True, torch.float32, OUT, want=_x.prod(1, keepdim=True))
case("aclnnAll", bools(3, 4), (1,), False, OUT, want=bools(3, 4).all(1))
case("aclnnAll", bools(3, 4), (0, 1), False, OUT, want=bools(3, 4).all())
case("aclnnAny", bools(3, 4), (0,), True, OUT, want=bools(3, 4).any(0, keepdim=True))
case("aclnnAmax", _x, (0, 1), False, OUT, want=_x.amax((0, 1)))
case("aclnnAmin", _x, (2,), True, OUT, want=_x.amin(2, keepdim=True))
case("aclnnMaxV2", _x, (1,), False, True, OUT, want=_x.amax(1))
case("aclnnAminmax", _x, (1,), False, OUT, OUT, want=(_x.amin(1), _x.amax(1)))
case("aclnnAminmaxAll", _x, OUT, OUT, want=(_x.amin(), _x.amax()))
case("aclnnAminmaxDim", _x, 1, True, OUT, OUT, want=(_x.amin(1, keepdim=True), _x.amax(1, keepdim=True)))
case("aclnnArgMax", _x, 1, False, OUT, want=_x.argmax(1))
case("aclnnArgMax", _x, 1, False, OUT, want=_x.argmax(1).int())
case("aclnnArgMin", _x, 2, True, OUT, want=_x.argmin(2, keepdim=True))
case("aclnnMax", _x, OUT, want=_x.max())
case("aclnnMin", _x, OUT, want=_x.min())
case("aclnnMaxDim", _x, 1, False, OUT, OUT, want=tuple(_x.max(1)))
case("aclnnMinDim", _x, 1, True, OUT, OUT, want=tuple(_x.min(1, keepdim=True)))
case("aclnnMedian", _x, OUT, want=_x.median())
case("aclnnMedianDim", _x, 1, False, OUT, OUT, want=tuple(_x.median(1)))
case("aclnnNanMedian", _holes, OUT, want=_holes.nanmedian())
case("aclnnNanMedianDim", _holes, 1, False, OUT, OUT, want=tuple(_holes.nanmedian(1)))
case("aclnnVar", _x, (1,), False, True, OUT, want=_x.var(1, unbiased=False, keepdim=True))
case("aclnnVarCorrection", _x, (1,), 1, False, OUT, want=_x.var(1))
case("aclnnStd", _x, (0, 1), 0, False, OUT, want=_x.std((0, 1), correction=0))
case("aclnnVarMean", _x, (1,), 1, False, OUT, OUT, want=tuple(torch.var_mean(_x, 1)))
case("aclnnStdMeanCorrection", _x, (1,), 1, False, OUT, OUT, want=tuple(torch.std_mean(_x, 1)))
case("aclnnNorm", _x, 2.0, (1,), False, OUT, want=_x.norm(2.0, 1))
case("aclnnLinalgVectorNorm", _x, 3.0, (1,), True, torch.float32, OUT, want=torch.linalg.vector_norm(_x, 3, 1, keepdim=True))
case("aclnnLogSumExp", _x, (1, 2), False, OUT, want=_x.logsumexp((1, 2)))
case("aclnnCumsum", _x, 1, torch.float32, OUT, want=_x.cumsum(1))
case("aclnnCumprod", _x, 1, torch.float32, OUT, want=_x.cumprod(1))
case("aclnnInplaceCumprod", Changed(_x), 1, want=_x.cumprod(1))
case("aclnnCummax", _x, 1, OUT, OUT, want=tuple(_x.cummax(1)))
case("aclnnCummin", _x, 2, OUT, OUT, want=tuple(_x.cummin(2)))
case("aclnnSort", _x, True, 1, True, OUT, OUT, want=tuple(torch.sort(_x, dim=1, descending=True, stable=True)))
case("aclnnArgsort", _x, 2, False, OUT, want=_x.argsort(2))
case("aclnnTopk", _x, 2, 1, True, True, OUT, OUT, want=tuple(_x.topk(2, 1)))
case("aclnnKthvalue", _x, 2, 1, False, OUT, OUT, want=tuple(_x.kthvalue(2, 1)))
case("aclnnBincount", ints(5, 20), None, 7, OUT, want=ints(5, 20).bincount(minlength=7))
case("aclnnBincount", ints(5, 20), unit(20), 7, OUT, want=ints(5, 20).bincount(unit(20), 7))
case("aclnnHistc", _x, 5, -2, 2, OUT, want=_x.histc(5, -2, 2))
case("aclnnHistc", torch.tensor([0, 3, 3, 1, 9], dtype=torch.int32), 4, 0, 3, OUT, want=torch.tensor([1, 1, 0, 2], dtype=torch.int32))
_sorted = torch.arange(8.0)
case("aclnnSearchSorted", _sorted, positive(3) * 4, False, True, None, OUT, want=torch.searchsorted(_sorted, positive(3) * 4, right=True))
case("aclnnSearchSorteds", _sorted, 2.5, False, False, None, OUT, want=torch.searchsorted(_sorted, 2.5))
case("aclnnBucketize", positive(3) * 4, _sorted, True, False, OUT, want=torch.bucketize(positive(3) * 4, _sorted, out_int32=True))
case("aclnnTrace", make(4, 4), OUT, want=make(4, 4).trace())
case("aclnnTrace", torch.eye(3, dtype=torch.bool), OUT, want=torch.tensor(3))
case("aclnnIsInScalarTensor", 3, ints(5, 9), False, False, OUT, want=torch.isin(3, ints(5, 9)))
case("aclnnIsInTensorScalar", ints(5, 9), 3, False, True, OUT, want=torch.isin(ints(5, 9), 3, invert=True))
case("aclnnRenorm", _x, 2.0, 1, 1.5, OUT, want=_x.renorm(2, 1, 1.5))
case("aclnnInplaceRenorm", Changed(_x), 2.0, 1, 1.5, want=_x.renorm(2, 1, 1.5))

# ---- linear algebra -------------------------------------------------------------------------------------------------
_m, _n, _c = make(3, 4), make(4, 5, seed=2), make(5, seed=3)
_s, _t = make(2, 3, 4), make(2, 4, 5, seed=2)
case("aclnnMm", _m, _n, OUT, 0, want=_m @ _n)
case("aclnnMm", make(4, 3).t(), make(5, 4).t(), OUT, 1, want=make(4, 3).t() @ make(5, 4).t())
case("aclnnMm", _m.bfloat16(), _n.bfloat16(), OUT, 0, want=_m.bfloat16() @ _n.bfloat16())
case("aclnnMatmul", make(2, 1, 3, 4), make(5, 4, 2), OUT, 0, want=make(2, 1, 3, 4) @ make(5, 4, 2))
case("aclnnBatchMatMul", _s, _t, OUT, 0, want=_s @ _t)
case("aclnnAddmm", _c, _m, _n, 0.5, 2, OUT, 0, want=torch.addmm(_c, _m, _n, beta=0.5, alpha=2))
case("aclnnInplaceAddmm", Changed(make(3, 5)), _m, _n, 0.5, 2, 0, want=torch.addmm(make(3, 5), _m, _n, beta=0.5, alpha=2))
case("aclnnBaddbmm", make(2, 3, 5), _s, _t, 0.5, 2, OUT, 0, want=torch.baddbmm(make(2, 3, 5), _s, _t, beta=0.5, alpha=2))
case("aclnnInplaceBaddbmm", Changed(make(2, 3, 5)), _s, _t, 0.5, 2, 0, want=torch.baddbmm(make(2, 3, 5), _s, _t, beta=0.5, alpha=2))
case("aclnnAddbmm", make(3, 5), _s, _t, 0.5, 2, OUT, 0, want=torch.addbmm(make(3, 5), _s, _t, beta=0.5, alpha=2))
case("aclnnInplaceAddbmm", Changed(make(3, 5)), _s, _t, 0.5, 2, 0, want=torch.addbmm(make(3, 5), _s, _t, beta=0.5, alpha=2))
case("aclnnAddmv", make(3), _m, make(4), 2, 0.5, OUT, 0, want=torch.addmv(make(3), _m, make(4), beta=0.5, alpha=2))
case("aclnnMv", _m, make(4), OUT, 0, want=_m @ make(4))
case("aclnnDot", make(4), make(4, seed=2), OUT, want=make(4) @ make(4, seed=2))
case("aclnnGer", make(3), make(4), OUT, want=torch.outer(make(3), make(4)))
case("aclnnAddr", make(3, 4), make(3), make(4), 0.5, 2, OUT, want=torch.addr(make(3, 4), make(3), make(4), beta=0.5, alpha=2))
case("aclnnAddr", make(3, 4), make(3), make(4), None, None, OUT, want=torch.addr(make(3, 4), make(3), make(4)))
case("aclnnInplaceAddr", Changed(make(3, 4)), make(3), make(4), 0.5, 2, want=torch.addr(make(3, 4), make(3), make(4), beta=0.5, alpha=2))
_spd = make(4, 4) @ make(4, 4).t() + 4 * torch.eye(4)
case("aclnnInverse", _spd, OUT, want=_spd.inverse())
case("aclnnLinalgCholesky", _spd, False, OUT, want=torch.linalg.cholesky(_spd))
case("aclnnLinalgQr", make(5, 3), 0, OUT, OUT, want=tuple(torch.linalg.qr(make(5, 3))))
case("aclnnLinalgQr", make(5, 3), 1, OUT, OUT, want=tuple(torch.linalg.qr(make(5, 3), "complete")))
case("aclnnLinalgCross", make(3, 4), make(3, 4, seed=2), 0, OUT, want=torch.linalg.cross(make(3, 4), make(3, 4, seed=2), dim=0))
case("aclnnSlogdet", _spd, OUT, OUT, want=tuple(_spd.slogdet()))
case("aclnnTriangularSolve", make(4, 2), _spd, True, False, False, OUT, OUT, want=tuple(torch.triangular_solve(make(4, 2), _spd)))
for _name, _f in (("Tril", torch.tril), ("Triu", torch.triu)):
    case("aclnn" + _name, make(4, 5), 1, OUT, want=_f(make(4, 5), 1))
    case("aclnnInplace" + _name, Changed(make(4, 5)), -1, want=_f(make(4, 5), -1))
_dist, _g, (_g1, _g2) = grads(lambda a, b: torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist"), make(3, 4), make(5, 4, seed=2))
case("aclnnCdist", make(3, 4), make(5, 4, seed=2), 2.0, 2, OUT, want=_dist)
case("aclnnCdistBackward", _g, make(3, 4), make(5, 4, seed=2), _dist, 2.0, OUT, want=_g1)
case("aclnnPdist", make(5, 3), 2.0, OUT, want=F.pdist(make(5, 3)))

# ---- convolution, pooling -------------------------------------------------------------------------------------------
_x, _w, _bias = make(2, 3, 8, 8), make(4, 3, 3, 3, seed=2), make(4, seed=3)
_y, _g, (_gx, _gw, _gb) = grads(lambda x, w, b: F.conv2d(x, w, b, 2, 1), _x, _w, _bias)
case("aclnnConvolution", _x, _w, _bias, (2, 2), (1, 1), (1, 1), False, (0, 0), 1, OUT, 0, want=_y)
case("aclnnConvolution", _x, _w, None, (1, 1), (0, 1, 2, 0), (1, 1), False, (0, 0), 1, OUT, 0, want=F.conv2d(F.pad(_x, (2, 0, 0, 1)), _w))
case("aclnnConvolution", make(2, 3, 9), make(4, 3, 3), None, (1,), (2,), (2,), False, (0,), 1, OUT, 0, want=F.conv1d(make(2, 3, 9), make(4, 3, 3), padding=2, dilation=2))
case("aclnnConvolution", make(2, 3, 5, 5), make(3, 4, 3, 3), None, (2, 2), (1, 1), (1, 1), True, (1, 1), 1, OUT, 0,
     want=F.conv_transpose2d(make(2, 3, 5, 5), make(3, 4, 3, 3), None, 2, 1, 1))
case("aclnnConvolutionBackward", _g, _x, _w, (4,), (2, 2), (1, 1), (1, 1), False, (0, 0), 1, (True, True, True), 0, OUT, OUT, OUT, want=(_gx, _gw, _gb))
case("aclnnConvolutionBackward", _g, _x, _w, None, (2, 2), (1, 1), (1, 1), False, (0, 0), 1, (False, True, False), 0, None, OUT, None, want=_gw)
_y, _g, (_gx, _gw) = grads(lambda x, w: F.conv2d(F.pad(x, (2, 0, 0, 1)), w), _x, _w)
case("aclnnConvolutionBackward", _g, _x, _w, None, (1, 1), (0, 1, 2, 0), (1, 1), False, (0, 0), 1, (True, True, False), 0, OUT, OUT, None, want=(_gx, _gw))
case("aclnnConvDepthwise2d", _x, make(3, 1, 3, 3), (3, 3), None, (1, 1), (1, 1), (1, 1), OUT, 0, want=F.conv2d(_x, make(3, 1, 3, 3), padding=1, groups=3))
_y, _g, (_gx, _gw, _gb) = grads(lambda x, w, b: torch.conv_tbc(x, w, b, 1), make(6, 2, 3), make(3, 3, 4), make(4))
case("aclnnConvTbc", make(6, 2, 3), make(3, 3, 4), make(4), 1, OUT, 0, want=_y)
case("aclnnConvTbcBackward", _g, make(6, 2, 3), make(3, 3, 4), make(4), 1, 0, OUT, OUT, OUT, want=(_gx, _gw, _gb))
case("aclnnIm2col", _x, (2, 3), (1, 1), (1, 0), (2, 1), OUT, want=F.unfold(_x, (2, 3), 1, (1, 0), (2, 1)))
case("aclnnIm2colBackward", make(2, 12, 9), (4, 4), (2, 2), (1, 1), (0, 0), (1, 1), OUT, want=F.fold(make(2, 12, 9), (4, 4), 2))
_y, _g, (_gx,) = grads(lambda x: x.unfold(1, 3, 2), make(2, 7))
case("aclnnUnfoldGrad", _g, (2, 7), 1, 3, 2, OUT, want=_gx)

_avg = dict(stride=2, padding=1, count_include_pad=False)
_y, _g, (_gx,) = grads(lambda x: F.avg_pool2d(x, 3, **_avg), _x)
case("aclnnAvgPool2d", _x, (3, 3), (2, 2), (1, 1), False, False, 0, 0, OUT, want=_y)
case("aclnnAvgPool2d", _x, (2, 2), (2, 2), (0, 0), False, True, 3, 0, OUT, want=F.avg_pool2d(_x, 2, divisor_override=3))
case("aclnnAvgPool2dBackward", _g, _x, (3, 3), (2, 2), (1, 1), False, False, 0, 0, OUT, want=_gx)
_v = make(2, 3, 4, 6, 6)
_y, _g, (_gx,) = grads(lambda x: F.avg_pool3d(x, 2, **_avg), _v)
case("aclnnAvgPool3d", _v, (2, 2, 2), (2, 2, 2), (1, 1, 1), False, False, 0, OUT, want=_y)
case("aclnnAvgPool3dBackward", _g, _v, (2, 2, 2), (2, 2, 2), (1, 1, 1), False, False, 0, OUT, want=_gx)
for _d, _in, _size in (("2d", _x, (2, 3)), ("3d", _v, (2, 3, 2))):
    _y, _g, (_gx,) = grads(lambda x: getattr(F, "adaptive_avg_pool" + _d)(x, _size), _in)
    case("aclnnAdaptiveAvgPool" + _d, _in, _size, OUT, want=_y)
    case(f"aclnnAdaptiveAvgPool{_d}Backward", _g, _in, OUT, want=_gx)
    _y, _where = getattr(F, "adaptive_max_pool" + _d)(_in, _size, return_indices=True)
    _, _g, (_gx,) = grads(lambda x: getattr(F, "adaptive_max_pool" + _d)(x, _size), _in)
    case("aclnnAdaptiveMaxPool" + _d, _in, _size, OUT, OUT, want=(_y, _where))
    case(f"aclnnAdaptiveMaxPool{_d}Backward", _g, _in, _where.int() if _d == "3d" else _where, OUT, want=_gx)
_y, _where = F.max_pool2d(_x, 3, 2, 1, return_indices=True)
_, _g, (_gx,) = grads(lambda x: F.max_pool2d(x, 3, 2, 1), _x)
_pool = ((3, 3), (2, 2), (1, 1), (1, 1), False)
case("aclnnMaxPool2dWithIndices", _x, *_pool, OUT, OUT, want=(_y, _where.int()))
case("aclnnMaxPool2dWithIndices", _x, (2,), (), (0,), (1,), False, OUT, OUT, want=tuple(F.max_pool2d(_x, 2, return_indices=True)))
case("aclnnMaxPool2dWithIndicesBackward", _g, _x, _where.int(), *_pool, OUT, want=_gx)
_mask = torch.zeros(2, 3, 9, 64, dtype=torch.int8)
case("aclnnMaxPool2dWithMask", _x, *_pool, OUT, OUT, want=(_y, _mask))
case("aclnnMaxPool2dWithMaskBackward", _g, _x, _mask, *_pool, OUT, want=_gx)
_y, _where = F.max_pool3d(_v, 2, 2, return_indices=True)
_, _g, (_gx,) = grads(lambda x: F.max_pool3d(x, 2, 2), _v)
_pool = ((2, 2, 2), (2, 2, 2), (0, 0, 0), (1, 1, 1), False)
case("aclnnMaxPool3dWithArgmax", _v, *_pool, OUT, OUT, want=(_y, _where.int()))
case("aclnnMaxPool3dWithArgmaxBackward", _g, _v, _where.int(), *_pool, OUT, want=_gx)
case("aclnnMaxUnpool3d", _y, _where, (4, 6, 6), (2, 2, 2), (0, 0, 0), OUT, want=F.max_unpool3d(_y, _where, 2, 2, output_size=(4, 6, 6)))
_y, _where = F.max_pool2d(_x, 2, 2, return_indices=True)
case("aclnnMaxUnpool2d", _y, _where, (8, 8), OUT, want=F.max_unpool2d(_y, _where, 2, 2))

# ---- normalisation --------------------------------------------------------------------------------------------------
_x = make(4, 3, 5, 5)
_gamma, _beta, _mean, _var = make(3, seed=2), make(3, seed=3), make(3, seed=4), positive(3, seed=5)
_y, _sm, _si = torch.native_batch_norm(_x, _gamma, _beta, _rm := _mean.clone(), _rv := _var.clone(), True, 0.1, 1e-5)
case("aclnnBatchNorm", _x, _gamma, _beta, Changed(_mean), Changed(_var), True, 0.1, 1e-5, OUT, OUT, OUT, want=(_rm, _rv, _y, _sm, _si))
case("aclnnBatchNorm", _x, _gamma, _beta, Changed(_mean), Changed(_var), False, 0.1, 1e-5, OUT, None, None,
     want=(_mean, _var, F.batch_norm(_x, _mean, _var, _gamma, _beta)))
_, _g, (_gx, _gw, _gb) = grads(lambda x, w, b: F.batch_norm(x, None, None, w, b, True), _x, _gamma, _beta)
case("aclnnBatchNormBackward", _g, _x, _gamma, _mean, _var, _sm, _si, True, 1e-5, (True, True, True), OUT, OUT, OUT, want=(_gx, _gw, _gb))
_, _g, (_gx, _gw) = grads(lambda x, w: F.batch_norm(x, _mean, _var, w, None), _x, _gamma)
case("aclnnBatchNormBackward", _g, _x, _gamma, _mean, _var, None, None, False, 1e-5, (True, True, False), OUT, OUT, None, want=(_gx, _gw))
_w, _b = make(5, 5, seed=2), make(5, 5, seed=3)
_y, _sm, _si = torch.native_layer_norm(_x, (5, 5), _w, _b, 1e-5)
for _name in ("LayerNorm", "FastLayerNorm"):
    case("aclnn" + _name, _x, (5, 5), _w, _b, 1e-5, OUT, OUT, OUT, want=(_y, _sm, _si))
case("aclnnLayerNormWithImplMode", _x, (5, 5), _w, _b, 1e-5, OUT, None, None, 0, want=_y)
_, _g, (_gx, _gw, _gb) = grads(lambda x, w, b: F.layer_norm(x, (5, 5), w, b), _x, _w, _b)
case("aclnnLayerNormBackward", _g, _x, (5, 5), _sm, _si, _w, _b, (True, True, True), OUT, OUT, OUT, want=(_gx, _gw, _gb))
case("aclnnLayerNormBackward", _g.bfloat16(), _x.bfloat16(), (5, 5), _sm, _si, _w.bfloat16(), None, (True, False, False), OUT, None, None,
     want=_gx.bfloat16(), tolerance=0.1)
_x = make(4, 6, 5)
_w, _b = make(6, seed=2), make(6, seed=3)
_y, _sm, _si = torch.native_group_norm(_x, _w, _b, 4, 6, 5, 3, 1e-5)
case("aclnnGroupNorm", _x, _w, _b, 4, 6, 5, 3, 1e-5, OUT, OUT, OUT, want=(_y, _sm, _si))
_, _g, (_gx, _gw, _gb) = grads(lambda x, w, b: F.group_norm(x, 3, w, b), _x, _w, _b)
case("aclnnGroupNormBackward", _g, _x, _sm, _si, _w, 4, 6, 5, 3, (True, True, True), OUT, OUT, OUT, want=(_gx, _gw, _gb))
_x, _w = make(4, 8), make(8, seed=2)
_y, _g, (_gx, _gw) = grads(lambda x, w: x * (x.square().mean(-1, True) + 1e-6).rsqrt() * w, _x, _w)
_rstd = (_x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()
case("aclnnRmsNorm", _x, _w, 1e-6, OUT, OUT, want=(_y, _rstd))
case("aclnnRmsNormGrad", _g, _x, _rstd, _w, OUT, OUT, want=(_gx, _gw))

# ---- activations ----------------------------------------------------------------------------------------------------
_x = make(3, 6) * 2
for _i, _mode in enumerate(("none", "tanh")):
    _y, _g, (_gx,) = grads(lambda x: F.gelu(x, approximate=_mode), _x)
    case("aclnnGeluV2", _x, _i, OUT, want=_y)
    case("aclnnGeluBackwardV2", _g, _x, _mode, OUT, want=_gx)
for _name, _f in {
        "GeluBackward": F.gelu, "SiluBackward": F.silu, "MishBackward": F.mish, "HardsigmoidBackward": F.hardsigmoid, "HardswishBackward": F.hardswish,
        "HardswishBackwardV2": F.hardswish}.items():
    _, _g, (_gx,) = grads(_f, _x)
    case("aclnn" + _name, _g, _x, OUT, want=_gx)
for _name, _f, _scalars in (
        ("Hardshrink", F.hardshrink, (0.3,)), ("Softshrink", F.softshrink, (0.3,)), ("Hardtanh", F.hardtanh, (-0.7, 0.8)), ("Softplus", F.softplus, (2.0, 1.5))):
    _y, _g, (_gx,) = grads(lambda x: _f(x, *_scalars), _x)
    case("aclnn" + _name, _x, *_scalars, OUT, want=_y)
    case(f"aclnn{_name}Backward", _g, _x, *_scalars, OUT, want=_gx)
case("aclnnInplaceHardtanh", Changed(_x), -0.7, 0.8, want=F.hardtanh(_x, -0.7, 0.8))
_y, _g, (_gx,) = grads(lambda x: F.elu(x, 0.7), _x)
case("aclnnElu", _x, 0.7, 1.0, 1.0, OUT, want=_y)
case("aclnnInplaceElu", Changed(_x), 0.7, 1.0, 1.0, want=_y)
case("aclnnEluBackward", _g, 0.7, 1.0, 1.0, False, _x, OUT, want=_gx)
case("aclnnCelu", _x, 0.7, OUT, want=F.celu(_x, 0.7))
case("aclnnInplaceCelu", Changed(_x), 0.7, want=F.celu(_x, 0.7))
_y, _g, (_gx,) = grads(lambda x: F.leaky_relu(x, 0.2), _x)
case("aclnnLeakyRelu", _x, 0.2, OUT, want=_y)
case("aclnnInplaceLeakyRelu", Changed(_x), 0.2, want=_y)
case("aclnnLeakyReluBackward", _g, _x, 0.2, False, OUT, want=_gx)
_y, _g, (_gx,) = grads(lambda x: F.glu(x, 1), _x)
case("aclnnGlu", _x, 1, OUT, want=_y)
case("aclnnGluBackward", _g, _x, 1, OUT, want=_gx)


def geglu(x, mode, left):
    a, b = x.chunk(2, 1)
    gelu = F.gelu(a if left else b, approximate="tanh" if mode else "none")
    return (b if left else a) * gelu, gelu


for _mode, _left in ((0, False), (1, False), (1, True)):
    _z = make(3, 8)
    _y, _g, (_gx,) = grads(lambda t: geglu(t, _mode, _left)[0], _z)
    _gelu = geglu(_z, _mode, _left)[1]
    case("aclnnGeGluV3", _z, 1, _mode, _left, OUT, OUT, want=(_y, _gelu))
    case("aclnnGeGluV3Backward", _g, _z, _gelu, 1, _mode, _left, OUT, want=_gx)
_y, _g, (_gx,) = grads(lambda t: F.silu(t.chunk(2, 1)[0]) * t.chunk(2, 1)[1], _z)
case("aclnnSwiGlu", _z, 1, OUT, want=_y)
case("aclnnSwiGluGrad", _g, _z, 1, OUT, want=_gx)
case("aclnnThreshold", _x, 0.1, 2.0, OUT, want=F.threshold(_x, 0.1, 2.0))
case("aclnnInplaceThreshold", Changed(_x), 0.1, 2.0, want=F.threshold(_x, 0.1, 2.0))
case("aclnnThresholdBackward", make(3, 6), _x, 0.1, OUT, want=torch.where(_x > 0.1, make(3, 6), torch.zeros(())))
for _name, _f in (("Sigmoid", torch.sigmoid), ("Tanh", torch.tanh)):
    _y, _g, (_gx,) = grads(_f, _x)
    case(f"aclnn{_name}Backward", _g, _y, OUT, want=_gx)
for _name, _f in (("Softmax", torch.softmax), ("LogSoftmax", torch.log_softmax)):
    _y, _g, (_gx,) = grads(lambda x: _f(x, 1), _x)
    case("aclnn" + _name, _x, 1, OUT, want=_y)
    case("aclnn" + _name, _x.half(), -1, OUT, want=_f(_x.half().float(), 1))
    case(f"aclnn{_name}Backward", _g, _y, 1, OUT, want=_gx)
_y, _g, (_gx,) = grads(F.logsigmoid, _x)
case("aclnnLogSigmoidForward", _x, OUT, torch.empty(0), want=_y)
case("aclnnLogSigmoidBackward", _g, _x, torch.empty(0), OUT, want=_gx)
_y, _g, (_gx, _gw) = grads(lambda x, w: F.prelu(x, w), make(3, 4, 5), make(4, seed=2))
case("aclnnPrelu", make(3, 4, 5), make(4, seed=2), OUT, want=_y)
case("aclnnPreluBackward", _g, make(3, 4, 5), make(4, seed=2), OUT, OUT, want=(_gx, _gw))
case("aclnnSwish", _x, 0.5, OUT, want=_x * torch.sigmoid(0.5 * _x))
case("aclnnRReluWithNoise", _x, Changed(torch.zeros(3, 6)), 0.1, 0.3, False, 1, 0, OUT, want=(torch.zeros(3, 6), F.leaky_relu(_x, 0.2)))
case("aclnnInplaceRReluWithNoise", Changed(_x), Changed(torch.zeros(3, 6)), 0.1, 0.3, False, 1, 0, want=(F.leaky_relu(_x, 0.2), torch.zeros(3, 6)))

# ---- losses ---------------------------------------------------------------------------------------------------------
_x, _t = make(6, 4), make(6, 4, seed=2)
for _r, _reduction in enumerate(("none", "mean", "sum")):
    _y, _g, (_gx,) = grads(lambda x: F.mse_loss(x, _t, reduction=_reduction), _x)
    case("aclnnMseLoss", _x, _t, _r, OUT, want=_y)
    case("aclnnMseLossBackward", _g, _x, _t, _r, OUT, want=_gx)
    case("aclnnL1Loss", _x, _t, _r, OUT, want=F.l1_loss(_x, _t, reduction=_reduction))
    _y, _g, (_gx,) = grads(lambda x: F.smooth_l1_loss(x, _t, reduction=_reduction, beta=0.5), _x)
    case("aclnnSmoothL1Loss", _x, _t, _r, 0.5, OUT, want=_y)
    case("aclnnSmoothL1LossBackward", _g, _x, _t, _r, 0.5, OUT, want=_gx)
    _prob, _label = unit(6, 4), ints(2, 6, 4).float()
    _y, _g, (_gx,) = grads(lambda x: F.binary_cross_entropy(x, _label, reduction=_reduction), _prob)
    case("aclnnBinaryCrossEntropy", _prob, _label, None, _r, OUT, want=_y)
    case("aclnnBinaryCrossEntropyBackward", _g, _prob, _label, None, _r, OUT, want=_gx)
    case("aclnnBinaryCrossEntropyWithLogits", _x, _label, None, positive(4), _r, OUT,
         want=F.binary_cross_entropy_with_logits(_x, _label, pos_weight=positive(4), reduction=_reduction))
    _class, _weight = ints(4, 6), positive(4, seed=5)
    _y, _g, (_gx,) = grads(lambda x: F.nll_loss(x, _class, _weight, ignore_index=1, reduction=_reduction), _x)
    _total = torch.ops.aten.nll_loss_forward(_x, _class, _weight, _r, 1)[1]
    case("aclnnNLLLoss", _x, _class.int(), _weight, _r, 1, OUT, OUT, want=(_y, _total))
    case("aclnnNLLLossBackward", _g, _x, _class, _weight, _r, 1, _total, OUT, want=_gx)
    case("aclnnKlDiv", _x.log_softmax(1), _t.softmax(1), _r, False, OUT, want=F.kl_div(_x.log_softmax(1), _t.softmax(1), reduction=_reduction))
    _sign = ints(2, 6, 4).float() * 2 - 1
    _y, _g, (_gx,) = grads(lambda x: F.soft_margin_loss(x, _sign, reduction=_reduction), _x)
    case("aclnnSoftMarginLoss", _x, _sign, _r, OUT, want=_y)
    case("aclnnSoftMarginLossBackward", _g, _x, _sign, _r, OUT, want=_gx)
_image, _class = make(2, 4, 3, 3), ints(4, 2, 3, 3)
_y, _g, (_gx,) = grads(lambda x: F.nll_loss(x, _class), _image)
case("aclnnNLLLoss2d", _image, _class, None, 1, -100, OUT, OUT, want=(_y, torch.tensor(18.0)))
case("aclnnNLLLoss2dBackward", _g, _image, _class, None, 1, -100, torch.tensor(18.0), OUT, want=_gx)
_several = torch.tensor([[3, 0, -1, 1]] * 6)
_y, _is = torch.ops.aten.multilabel_margin_loss_forward(_x, _several, 1)
case("aclnnMultilabelMarginLoss", _x, _several, 1, OUT, OUT, want=(_y, _is))

# ---- half types: where this torch's CPU has no kernel for them, computed in float32 and rounded once ------------------
_several, _image, _kernel = torch.tensor([[3, 0, -1, 1]] * 6), make(1, 2, 6, 6), make(3, 2, 3, 3, seed=2)
for _dtype in (torch.float16, torch.bfloat16):
    def _round(t, dtype=_dtype):
        return t.to(dtype).float()

    def _half(name, *arguments, want, dtype=_dtype):
        """With arguments rounded to `dtype`, and what comes of them in float32."""
        def cast(a):
            return Changed(cast(a.tensor)) if isinstance(a, Changed) else a.to(dtype) if isinstance(a, torch.Tensor) and a.is_floating_point() else a
        case(name, *map(cast, arguments), want=tuple(w.to(dtype) for w in want), tolerance=2e-3 if dtype is torch.float16 else 1.6e-2)

    _m, _n, _s = _round(make(3, 4)), _round(make(4, 5, seed=2)), _round(make(3, 5, seed=3))
    _half("aclnnMm", _m, _n, OUT, 0, want=(_m @ _n,))
    _half("aclnnInplaceAddmm", Changed(_s), _m, _n, 0.5, 2, 0, want=(torch.addmm(_s, _m, _n, beta=0.5, alpha=2),))
    _half("aclnnMultilabelMarginLoss", _round(make(6, 4)), _several, 1, OUT, OUT, want=torch.ops.aten.multilabel_margin_loss_forward(_round(make(6, 4)), _several, 1))
    _half("aclnnConvolution", _image, _kernel, None, (1, 1), (0, 0), (1, 1), False, (0, 0), 1, OUT, 0, want=(F.conv2d(_round(_image), _round(_kernel)),))
    # Changes its arguments one after the other, so they are as before when it is computed again.
    _var, _av, _sq, _g = (_round(t) for t in (make(3, 4), make(3, 4, seed=2), positive(3, 4, seed=3), make(3, 4, seed=4)))
    _av2, _sq2 = torch.lerp(_av, _g, 0.1), _sq * 0.9 + 0.1 * _g * _g
    _half("aclnnApplyAdamWV2", Changed(_var), Changed(_av), Changed(_sq), None, _g, torch.tensor(2), 0.1, 0.9, 0.9, 0.5, 1e-8, False, False,
          want=(_var * 0.95 - 0.1 / (1 - 0.9 ** 3) * _av2 / ((_sq2 / (1 - 0.9 ** 3)).sqrt() + 1e-8), _av2, _sq2))

# ---- indexing -------------------------------------------------------------------------------------------------------
_x = make(5, 4, 3)
_r, _k = ints(5, 2, 3), ints(4, 2, 3, seed=2)
_none = torch.empty(0)
case("aclnnIndex", _x, [_r], OUT, want=_x[_r])
case("aclnnIndex", _x, [_r, _k], OUT, want=_x[_r, _k])
case("aclnnIndex", _x, [_none, _k], OUT, want=_x[:, _k])
case("aclnnIndex", _x, [bools(5)], OUT, want=_x[bools(5)])
case("aclnnIndex", _x, [torch.empty(0, dtype=torch.long)], OUT, want=_x[torch.empty(0, dtype=torch.long)])
case("aclnnIndexPutImpl", Changed(_x), [_r], make(2, 3, 4, 3), True, False, want=_x.index_put((_r,), make(2, 3, 4, 3), accumulate=True))
case("aclnnIndexPutImpl", Changed(_x), [_none, bools(4)], torch.tensor(7.0), False, False, want=_x.masked_fill(bools(4)[:, None], 7))
_e = ints(4, 6)
case("aclnnIndexAdd", _x, 1, _e, make(5, 6, 3), 2, OUT, want=_x.index_add(1, _e, make(5, 6, 3), alpha=2))
case("aclnnIndexAddV2", _x, 1, _e, make(5, 6, 3), 2, 0, OUT, want=_x.index_add(1, _e, make(5, 6, 3), alpha=2))
_unique = torch.tensor([3, 0])
case("aclnnIndexCopy", Changed(_x), 1, _unique, make(5, 2, 3), Changed(_x), want=(_x, _x.index_copy(1, _unique, make(5, 2, 3))))
case("aclnnInplaceIndexCopy", Changed(_x), 1, _unique, make(5, 2, 3), want=_x.index_copy(1, _unique, make(5, 2, 3)))
case("aclnnIndexFill", _x, 1, _unique, 2.5, OUT, want=_x.index_fill(1, _unique, 2.5))
case("aclnnInplaceIndexFill", Changed(_x), 1, _unique, 2.5, want=_x.index_fill(1, _unique, 2.5))
case("aclnnIndexFillTensor", _x, 1, (3, 0), 2.5, OUT, want=_x.index_fill(1, _unique, 2.5))
case("aclnnInplaceIndexFillTensor", Changed(_x), 1, (3, 0), 2.5, want=_x.index_fill(1, _unique, 2.5))
case("aclnnIndexSelect", _x, 1, _e, OUT, want=_x.index_select(1, _e))
case("aclnnIndexSelect", _x, 1, _e.int(), OUT, want=_x.index_select(1, _e))
_where = ints(4, 5, 2, 3)
case("aclnnGather", _x, 1, _where, OUT, want=_x.gather(1, _where))
case("aclnnGather", _x, 1, _where.int(), OUT, want=_x.gather(1, _where))
_src = make(5, 2, 3)
for _r, _name in ((1, "add"), (2, "multiply")):
    case("aclnnScatter", _x, 1, _where, _src, _r, OUT, want=_x.scatter(1, _where, _src, reduce=_name))
    case("aclnnScatterValue", _x, 1, _where, 2.0, _r, OUT, want=_x.scatter(1, _where, 2.0, reduce=_name))
case("aclnnScatter", _x, 1, _where, _src, 0, OUT, want=_x.scatter(1, _where, _src))
case("aclnnInplaceScatter", Changed(_x), 1, _where, _src, 0, want=_x.scatter(1, _where, _src))
case("aclnnInplaceScatterValue", Changed(_x), 1, _where, 2.0, 0, want=_x.scatter(1, _where, 2.0))
case("aclnnScatterAdd", _x, 1, _where, _src, OUT, want=_x.scatter_add(1, _where, _src))
for _r, _name in enumerate(("sum", "prod", "amax", "amin", "mean"), 1):
    case("aclnnScatterReduce", _x, 1, _where, _src, _r, False, OUT, want=_x.scatter_reduce(1, _where, _src, _name, include_self=False))
case("aclnnInplaceScatterReduce", Changed(_x), 1, _where, _src, 3, True, want=_x.scatter_reduce(1, _where, _src, "amax"))
case("aclnnTake", _x, ints(60, 2, 3), OUT, want=_x.take(ints(60, 2, 3)))
case("aclnnInplacePut", Changed(_x), torch.tensor([1, 7]), make(2), True, want=_x.clone().put_(torch.tensor([1, 7]), make(2), accumulate=True))
case("aclnnInplaceMaskedFillScalar", Changed(_x), bools(4, 3), -1.0, want=_x.masked_fill(bools(4, 3), -1))
case("aclnnInplaceMaskedFillTensor", Changed(_x), bools(4, 3), torch.tensor(-1.0), want=_x.masked_fill(bools(4, 3), -1))
case("aclnnInplaceMaskedScatter", Changed(_x), bools(5, 4, 3), make(60), want=_x.masked_scatter(bools(5, 4, 3), make(60)))
case("aclnnMaskedSelect", _x, bools(5, 4, 3), Space(60), want=_x.masked_select(bools(5, 4, 3)))
_z = ints(2, 4, 5)
case("aclnnNonzero", _z, Space(20, 2, dtype=torch.int64), want=_z.nonzero())
case("aclnnNonzero", torch.zeros(4), Space(4, 1, dtype=torch.int64), want=torch.zeros(0, 1, dtype=torch.int64))
case("aclnnNonzeroV2", _z, Space(2, 20, dtype=torch.int64), want=_z.nonzero().t())
_l = ints(4, 20)
_space = lambda *s: Space(*s, dtype=torch.int64)  # noqa: E731
case("aclnnUnique", _l, True, True, _space(20), _space(20), want=tuple(torch.unique(_l, return_inverse=True)))
case("aclnnUnique2", _l, True, True, True, _space(20), _space(20), _space(20), want=tuple(torch.unique(_l, return_inverse=True, return_counts=True)))
case("aclnnUniqueConsecutive", _l, True, True, 1000, _space(20), _space(20), _space(20),
     want=tuple(torch.unique_consecutive(_l, return_inverse=True, return_counts=True)))
_l = ints(2, 8, 2)
case("aclnnUniqueDim", _l, True, True, 0, _space(8, 2), _space(8), _space(8), want=tuple(torch.unique(_l, return_inverse=True, return_counts=True, dim=0)))
_table = make(7, 5)
case("aclnnEmbedding", _table, ints(7, 3, 4), OUT, want=F.embedding(ints(7, 3, 4), _table))
_, _g, (_gx,) = grads(lambda w: F.embedding(ints(7, 3, 4), w, padding_idx=2), _table)
case("aclnnEmbeddingDenseBackward", _g, ints(7, 3, 4), 7, 2, False, OUT, want=_gx)
case("aclnnEmbeddingRenorm", Changed(_table), ints(7, 3), 1.0, 2.0, want=torch.embedding_renorm_(_table.clone(), ints(7, 3), 1.0, 2.0))
_bag = torch.ops.aten._embedding_bag(_table, ints(7, 6), torch.tensor([0, 2]), False, 0, False, None, False, -1)
case("aclnnEmbeddingBag", _table, ints(7, 6), torch.tensor([0, 2]), False, 0, False, None, False, -1, OUT, OUT, OUT, OUT,
     want=(_bag[0], torch.tensor([0, 0, 1, 1, 1, 1]), torch.tensor([2, 4]), torch.tensor([0, 0])))
case("aclnnOneHot", ints(4, 5), 4, torch.tensor([1]), torch.tensor([0]), -1, OUT, want=F.one_hot(ints(4, 5), 4))

# ---- shapes, fills --------------------------------------------------------------------------------------------------
_x = make(4, 3)
case("aclnnCat", [make(2, 3), make(1, 3), make(0, 3)], 0, OUT, want=torch.cat([make(2, 3), make(1, 3)]))
case("aclnnStack", [_x, _x + 1], 1, OUT, want=torch.stack([_x, _x + 1], 1))
case("aclnnSplitWithSize", _x, (1, 3), 0, [OUT, OUT], want=tuple(_x.split((1, 3))))
case("aclnnSplitTensor", _x, 2, 0, [OUT, OUT], want=tuple(_x.split(2)))
case("aclnnFlip", _x, (0, 1), OUT, want=_x.flip(0, 1))
case("aclnnRoll", _x, (1, -1), (0, 1), OUT, want=_x.roll((1, -1), (0, 1)))
case("aclnnRepeat", _x, (2, 1, 3), OUT, want=_x.repeat(2, 1, 3))
case("aclnnPermute", make(2, 3, 4), (2, 0, 1), OUT, want=make(2, 3, 4).permute(2, 0, 1).contiguous())
case("aclnnExpand", make(3, 1), (2, 3, 4), OUT, want=make(3, 1).expand(2, 3, 4).contiguous())
_times = torch.tensor([1, 0, 2, 1])
case("aclnnRepeatInterleave", make(4), _times, 4, OUT, want=make(4).repeat_interleave(_times))
case("aclnnRepeatInterleaveWithDim", _x, _times, 0, 4, OUT, want=_x.repeat_interleave(_times, 0))
case("aclnnRepeatInterleaveInt", make(4), 2, 8, OUT, want=make(4).repeat_interleave(2))
case("aclnnRepeatInterleaveIntWithDim", _x, 2, 1, 6, OUT, want=_x.repeat_interleave(2, 1))
case("aclnnRepeatInterleaveTensor", _times, 4, OUT, want=torch.repeat_interleave(_times))
case("aclnnConstantPadNd", _x, (1, 2, 0, 1), 3.0, OUT, want=F.pad(_x, (1, 2, 0, 1), value=3.0))
for _d, _in, _pad in ((1, make(2, 3, 6), (1, 2)), (2, make(2, 3, 6, 6), (1, 2, 0, 1)), (3, make(2, 3, 6, 6, 6), (1, 2, 0, 1, 2, 0))):
    for _name, _mode in (("Reflection", "reflect"), ("Replication", "replicate")):
        _y, _g, (_gx,) = grads(lambda x: F.pad(x, _pad, mode=_mode), _in)
        case(f"aclnn{_name}Pad{_d}d", _in, _pad, OUT, want=_y)
        case(f"aclnn{_name}Pad{_d}dBackward", _g, _in, _pad, OUT, want=_gx)
case("aclnnChannelShuffle", make(2, 4, 3, 3), 2, OUT, want=torch.channel_shuffle(make(2, 4, 3, 3), 2))
case("aclnnEye", 3, 4, OUT, want=torch.eye(3, 4))
case("aclnnArange", 0.5, 3, 0.4, OUT, want=torch.arange(0.5, 3, 0.4))
case("aclnnArange", 0, 5, 1, OUT, want=torch.arange(5))
case("aclnnRange", 0, 5, 1, OUT, want=torch.arange(6))
case("aclnnLinspace", 0, 1, 7, OUT, want=torch.linspace(0, 1, 7))
case("aclnnLogSpace", 0, 2, 5, 10.0, OUT, want=torch.logspace(0, 2, 5))
case("aclnnInplaceFillScalar", Changed(_x), 2.5, want=torch.full((4, 3), 2.5))
case("aclnnInplaceFillTensor", Changed(_x), torch.tensor([2.5]), want=torch.full((4, 3), 2.5))
case("aclnnInplaceFillDiagonal", Changed(_x), 2.5, False, want=_x.clone().fill_diagonal_(2.5))

# ---- sampling -------------------------------------------------------------------------------------------------------
for _dims, _in, _size in ((1, make(2, 3, 5), (8,)), (2, make(2, 3, 5, 4), (8, 7)), (3, make(2, 3, 4, 5, 4), (6, 8, 7))):
    _no = (0.0,) * _dims
    for _name, _mode in (("Nearest", "nearest"), ("NearestExact", "nearest-exact")):
        _y, _g, (_gx,) = grads(lambda x: F.interpolate(x, _size, mode=_mode), _in)
        _forward = f"aclnnUpsample{_name}{_dims}d" + ("V2" if _name == "Nearest" and _dims < 3 else "")
        case(_forward, _in, _size, *_no, OUT, want=_y)
        case(f"aclnnUpsample{_name}{_dims}dBackward", _g, _size, tuple(_in.shape), *_no, OUT, want=_gx)
    if _dims < 3:
        case(f"aclnnUpsampleNearest{_dims}d", _in, _size, OUT, want=F.interpolate(_in, _size))
    for _align in (False, True):
        _mode, _name = {1: ("linear", "Linear1d"), 2: ("bilinear", "Bilinear2d"), 3: ("trilinear", "Trilinear3d")}[_dims]
        _y, _g, (_gx,) = grads(lambda x: F.interpolate(x, _size, mode=_mode, align_corners=_align), _in)
        case("aclnnUpsample" + _name, _in, _size, _align, *_no, OUT, want=_y)
        for _version in ("", "V2") if _dims == 2 else ("",):
            case(f"aclnnUpsample{_name}Backward{_version}", _g, _size, tuple(_in.shape), _align, *_no, OUT, want=_gx)
_in, _size = make(2, 3, 8, 7), (5, 4)
_y, _g, (_gx,) = grads(lambda x: F.interpolate(x, scale_factor=(0.6, 0.5), mode="bilinear"), _in)
case("aclnnUpsampleBilinear2d", _in, (4, 3), False, 0.6, 0.5, OUT, want=_y)
_y, _g, (_gx,) = grads(lambda x: F.interpolate(x, _size, mode="bicubic"), _in)
case("aclnnUpsampleBicubic2d", _in, _size, False, 0.0, 0.0, OUT, want=_y)
case("aclnnUpsampleBicubic2dBackward", _g, _size, tuple(_in.shape), False, 0.0, 0.0, OUT, want=_gx)
for _mode, _name, _backward in (("bilinear", "Bilinear2dAA", "Bilinear2dAABackward"), ("bicubic", "Bicubic2dAA", "Bicubic2dAAGrad")):
    _y, _g, (_gx,) = grads(lambda x: F.interpolate(x, _size, mode=_mode, antialias=True), _in)
    case("aclnnUpsample" + _name, _in, _size, False, 0.0, 0.0, OUT, want=_y)
    case("aclnnUpsample" + _backward, _g, _size, tuple(_in.shape), False, 0.0, 0.0, OUT, want=_gx)
_theta = make(2, 2, 3)
case("aclnnAffineGrid", _theta, (2, 3, 4, 5), False, OUT, want=F.affine_grid(_theta, (2, 3, 4, 5), False))
for _d, _in, _grid in (("2D", make(2, 3, 5, 4), unit(2, 3, 2, 2)), ("3D", make(2, 3, 4, 5, 4), unit(2, 2, 3, 2, 3))):
    _y, _g, (_gx, _gg) = grads(lambda x, g: F.grid_sample(x, g, align_corners=False), _in, _grid)
    case("aclnnGridSampler" + _d, _in, _grid, 0, 0, False, OUT, want=_y)
    case(f"aclnnGridSampler{_d}Backward", _g, _in, _grid, 0, 0, False, (True, True), OUT, OUT, want=(_gx, _gg))

# ---- optimizers -----------------------------------------------------------------------------------------------------
_var, _m, _v, _g = make(5), make(5, seed=2), positive(5, seed=3), make(5, seed=4)
_m2, _v2 = 0.9 * _m + 0.1 * _g, 0.99 * _v + 0.01 * _g * _g
case("aclnnApplyAdamWV2", Changed(_var), Changed(_m), Changed(_v), None, _g, torch.tensor(2.0), 0.1, 0.9, 0.99, 0.01, 1e-8, False, False,
     want=(_var * (1 - 0.1 * 0.01) - 0.1 / (1 - 0.9 ** 3) * _m2 / ((_v2 / (1 - 0.99 ** 3)).sqrt() + 1e-8), _m2, _v2))
case("aclnnAmpUpdateScale", torch.tensor([8.0]), torch.tensor([1], dtype=torch.int32), torch.tensor([0.0]), 2.0, 0.5, 2, OUT, OUT,
     want=(torch.tensor([16.0]), torch.tensor([0], dtype=torch.int32)))
case("aclnnForeachNonFiniteCheckAndUnscale", [Changed(make(3)), Changed(make(4) / 0)], Changed(torch.zeros(1)), torch.tensor([0.5]),
     want=(make(3) * 0.5, make(4) / 0, torch.ones(1)))
case("aclnnMaskedScale", make(3, 4), ints(2, 3, 4, dtype=torch.uint8), 2.0, OUT, want=make(3, 4) * ints(2, 3, 4) * 2)

# ---- the same on lists ----------------------------------------------------------------------------------------------
_x, _y, _z = [positive(3, 4), unit(5)], [positive(3, 4, seed=2), unit(5, seed=2)], [positive(3, 4, seed=3), unit(5, seed=3)]
_one, _change = torch.tensor([1.5]), [Changed(t) for t in _x]


def _each(name, f, *lists, scalars=(), first=()):
    case("aclnnForeach" + name, *first, *lists, *scalars, [OUT] * len(lists[0]), want=tuple(f(*ts) for ts in zip(*lists)))


for _name in "Abs Asin Atan Cos Cosh Erf Erfc Exp Expm1 Log Log10 Log1p Log2 Neg Reciprocal Sigmoid Sign Sin Sinh Sqrt Tan Tanh".split():
    _each(_name, getattr(torch, _name.lower()), _x)
_each("Acos", torch.acos, [unit(3), unit(2, 2)])
for _name, _f in {"Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div, "Pow": torch.pow, "Maximum": lambda x, s: x.clamp(min=s),
                  "Minimum": lambda x, s: x.clamp(max=s)}.items():
    _each(_name + "Scalar", lambda x: _f(x, 1.5), _x, scalars=(_one,))
    _each(_name + "ScalarV2", lambda x: _f(x, 1.5), _x, scalars=(1.5,))
    case(f"aclnnForeach{_name}ScalarList", _x, [1.5, 0.5], [OUT, OUT], want=(_f(_x[0], 1.5), _f(_x[1], 0.5)))
for _name, _f in {"Mul": torch.mul, "Div": torch.div, "Pow": torch.pow, "Maximum": torch.maximum, "Minimum": torch.minimum}.items():
    _each(_name + "List", _f, _x, _y)
for _name, _f in {"Add": torch.add, "Sub": torch.sub}.items():
    _each(_name + "List", lambda x, y: _f(x, y, alpha=1.5), _x, _y, scalars=(_one,))
    _each(_name + "ListV2", lambda x, y: _f(x, y, alpha=2), _x, _y, scalars=(2,))
for _name, _f in {"Addcmul": torch.addcmul, "Addcdiv": torch.addcdiv}.items():
    _each(_name + "Scalar", lambda x, y, z: _f(x, y, z, value=1.5), _x, _y, _z, scalars=(_one,))
    _each(_name + "ScalarV2", lambda x, y, z: _f(x, y, z, value=0.5), _x, _y, _z, scalars=(0.5,))
    for _form in ("ScalarList", "List"):
        case(f"aclnnForeach{_name}{_form}", _x, _y, _z, torch.tensor([1.5, 0.5]), [OUT, OUT],
             want=(_f(_x[0], _y[0], _z[0], value=1.5), _f(_x[1], _y[1], _z[1], value=0.5)))
_each("LerpList", torch.lerp, _x, _y, _z)
_each("LerpScalar", lambda x, y: torch.lerp(x, y, 0.3), _x, _y, scalars=(0.3,))
_each("Copy", lambda x: x, _x)
_each("Norm", torch.linalg.vector_norm, _x, scalars=(2.0,))
_each("PowScalarAndTensor", lambda x: 2.5 ** x, _x, first=(2.5,))
_values = [torch.tensor([0.5, 1.5, -2.5, 0.7, -0.2, 2.5])]
for _mode, _want in {1: [0., 2, -2, 1, 0, 2], 2: [0., 1, -3, 0, -1, 2], 3: [1., 2, -2, 1, 0, 3], 4: [1., 2, -3, 1, 0, 3], 5: [0., 1, -2, 0, 0, 2], 6: [1., 1, -3, 1, 0, 3]}.items():
    case("aclnnForeachRoundOffNumberV2", _values, _mode, [OUT], want=torch.tensor(_want))
case("aclnnForeachRoundOffNumber", _values, torch.tensor([2], dtype=torch.int8), [OUT], want=_values[0].floor())
case("aclnnForeachZeroInplace", _change, want=tuple(torch.zeros_like(t) for t in _x))
case("aclnnForeachACosInplace", [Changed(unit(3))], want=unit(3).acos())
case("aclnnForeachLogInplace", _change, want=tuple(t.log() for t in _x))
for _name, _f in {"Add": torch.add, "Sub": torch.sub}.items():
    case(f"aclnnForeach{_name}ListInplace", _change, _y, _one, want=tuple(_f(a, b, alpha=1.5) for a, b in zip(_x, _y)))
for _name, _f in {"Mul": torch.mul, "Div": torch.div}.items():
    case(f"aclnnForeach{_name}ListInplace", _change, _y, want=tuple(_f(a, b) for a, b in zip(_x, _y)))
for _name, _f in {"Mul": torch.mul, "Sub": torch.sub}.items():
    case(f"aclnnForeach{_name}ScalarInplace", _change, _one, want=tuple(_f(a, 1.5) for a in _x))
_p, _g, _buffer = make(4), make(4, seed=2), make(4, seed=3)
_gd = _g + 0.1 * _p
_b2 = 0.9 * _buffer + (1 - 0.2) * _gd
case("aclnnFusedSgd", [Changed(_p)], [Changed(_g)], [Changed(_buffer)], None, 0.1, 0.9, 0.01, 0.2, False, False, False, want=(_p - 0.01 * _b2, _g, _b2))
case("aclnnFusedSgd", [Changed(_p)], [Changed(_g)], [Changed(_buffer)], torch.tensor([2.0]), 0.0, 0.9, 0.01, 0.0, True, True, True,
     want=(_p + 0.01 * 1.9 * _g / 2, _g / 2, -_g / 2))

# ---- others ---------------------------------------------------------------------------------------------------------
_x, _w, _b = make(4, 3, 5), make(3, seed=2), make(3, seed=3)
_m, _v = _x.mean((0, 2)), _x.var((0, 2), correction=0)
_s = (_v + 1e-5).rsqrt()
case("aclnnBatchNormStats", _x, 1e-5, OUT, OUT, want=(_m, _s))
case("aclnnBatchNormReduce", _x, OUT, OUT, want=(_x.sum((0, 2)), _x.square().sum((0, 2))))
_y, _g, (_gx, _gw, _gb) = grads(lambda x, w, b: F.batch_norm(x, None, None, w, b, True), _x, _w, _b)
case("aclnnBatchNormElemt", _x, _w, _b, _m, _s, 1e-5, OUT, want=_y)
_halves = [h for h in _x.split((1, 3))]
_means, _stds = torch.stack([h.mean((0, 2)) for h in _halves]), torch.stack([(h.var((0, 2), correction=0) + 1e-5).rsqrt() for h in _halves])
case("aclnnBatchNormGatherStatsWithCounts", _x, _means, _stds, Changed(torch.zeros(3)), Changed(torch.ones(3)), 0.1, 1e-5, torch.tensor([5.0, 15.0]), OUT, OUT,
     want=(0.1 * _m, 0.9 + 0.1 * _x.var((0, 2)), _m, _s))
_dy, _dy_xmu = _g.sum((0, 2)), (_g * (_x - _m[:, None])).sum((0, 2))
case("aclnnBatchNormReduceBackward", _g, _x, _m, _s, _w, True, True, True, OUT, OUT, OUT, OUT, want=(_dy, _dy_xmu, _gw, _gb))
case("aclnnBatchNormElemtBackward", _g, _x, _m, _s, _w, _dy, _dy_xmu, torch.tensor([20], dtype=torch.int32), OUT, want=_gx)
_logs, _targets = make(6, 2, 4).log_softmax(2), torch.tensor([[1, 2], [3, 1]])
_lengths = (6, 6), (2, 2)
_y, _g, (_gx,) = grads(lambda x: F.ctc_loss(x, _targets, *_lengths, reduction="none"), _logs)
_alpha = torch.ops.aten._ctc_loss(_logs, _targets, *_lengths)[1]
case("aclnnCtcLoss", _logs, _targets, *_lengths, 0, False, OUT, OUT, want=(_y, _alpha))
case("aclnnCtcLossBackward", _g, _logs, _targets, *_lengths, _y, F.pad(_alpha, (0, 3)), 0, False, OUT, want=_gx)
_u, _sv, _vh = torch.linalg.svd(make(4, 3), full_matrices=False)
case("aclnnSvd", make(4, 3), False, True, OUT, OUT, OUT, want=(_sv, _u, _vh.mH))
_qkv = make(2, 5, 24) + make(24, seed=2)
_q, _k, _vv = (_qkv.view(2, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)[i].contiguous() for i in range(3))
case("aclnnTransformBiasRescaleQkv", make(2, 5, 24), make(24, seed=2), 2, OUT, OUT, OUT, want=(_q / 2, _k, _vv))
_hide = bools(2, 1, 3, 4)
case("aclnnScaledMaskedSoftmax", make(2, 2, 3, 4), _hide, 0.5, False, OUT, want=(make(2, 2, 3, 4) * 0.5).masked_fill(_hide, -10000.0).softmax(-1))
case("aclnnChunkCat", [make(4, 3), make(2, 5)], 0, 2, OUT, want=torch.cat((make(4, 3).reshape(2, 6), make(2, 5)), 1))
_y, _kept = torch.ops.aten.fake_quantize_per_tensor_affine_cachemask(make(9), 0.1, 3, -8, 7)
case("aclnnFakeQuantPerTensorAffineCachemask", make(9), torch.tensor([0.1]), torch.tensor([3], dtype=torch.int32), 1.0, -8, 7, OUT, OUT, want=(_y, _kept))
_y, _kept = torch.ops.aten.fake_quantize_per_channel_affine_cachemask(make(3, 4), unit(3), torch.tensor([3, 0, 1], dtype=torch.int32), 0, -8, 7)
case("aclnnFakeQuantPerChannelAffineCachemask", make(3, 4), unit(3), torch.tensor([3, 0, 1], dtype=torch.int32), 0, -8, 7, OUT, OUT, want=(_y, _kept))
_x1, _x2 = ints(9, 3, 4, seed=5).sub(4).to(torch.int8), ints(9, 4, 5, seed=6).sub(4).to(torch.int8)
_rows, _columns, _product = unit(3), unit(5), _x1.float() @ _x2.float()
case("aclnnQuantMatmulV5", _x1, _x2, None, torch.ones(1), None, None, None, None, None, False, False, 0, OUT, want=_product.to(torch.int32))
case("aclnnQuantMatmulV5", _x1, _x2.t().contiguous(), _rows, _columns, None, None, None, None, make(5), False, True, 0, OUT,
     want=(_product * _columns * _rows[:, None] + make(5)).to(torch.bfloat16), tolerance=1e-2)
_w = ints(9, 4, 5, seed=7).sub(4).to(torch.int8)
case("aclnnWeightQuantBatchMatmulV2", make(3, 4).half(), _w, unit(5).half(), None, None, None, None, 0, OUT,
     want=(make(3, 4).half().float() @ (_w * unit(5).half().float())).half(), tolerance=1e-2)
_w3 = make(2, 4, 5, seed=8)
case("aclnnGroupedMatmulV5", [make(6, 4)], [_w3], None, None, None, None, None, None, torch.tensor([2, 6]), None, None, None, 3, 0, 0, 0, None,
     [OUT], None, None, want=torch.cat([make(6, 4)[:2] @ _w3[0], make(6, 4)[2:] @ _w3[1]]))

# ---- attention and recurrent cells ----------------------------------------------------------------------------------
LIMITLESS = 2**31 - 1


def attention(q, k, v, pse=None, masked=None, keep=None, scale=0.5, pse_type=1):
    """Row maxima and sums (eight times over) and the result, heads first; `masked` and `keep` are bool."""
    scores = (q @ k.mT + pse) * scale if pse is not None and pse_type == 1 else q @ k.mT * scale + (0 if pse is None else pse)
    if masked is not None:
        scores = scores.masked_fill(masked, -math.inf)
    maximum = scores.amax(-1, keepdim=True)
    total = (scores - maximum).exp().sum(-1, keepdim=True)
    p = (scores - maximum).exp() / total
    if keep is not None:
        p = p * keep / 0.5
    return maximum.expand(-1, -1, -1, 8).contiguous(), total.expand(-1, -1, -1, 8).contiguous(), p @ v


def attention_case(name, q, k, v, pse=None, masked=None, keep=None, layout="BNSD", mask=None, sparse_mode=0, next_tokens=LIMITLESS, pse_type=1,
                   arrange=lambda t: t):
    """The forward case and its gradients. `mask` is the attenMask given, if it is not the one that has an effect."""
    v2 = "V2" in name
    k_all, v_all = (t.repeat_interleave(q.shape[1] // k.shape[1], 1) for t in (k, v))
    maximum, total, out = attention(q, k_all, v_all, pse, masked, keep, pse_type=pse_type)
    bits = None if keep is None else torch.cat([(keep.flatten().reshape(-1, 8) * 2 ** torch.arange(8)).sum(1).to(torch.uint8), torch.zeros(16, dtype=torch.uint8)])
    mask = masked if mask is None else mask
    tail = (0.5, 1.0 if keep is None else 0.5, LIMITLESS, next_tokens, q.shape[1], layout, 0, sparse_mode, *((pse_type,) if v2 else ()))
    indices = (None,) * (3 if v2 else 1)
    case(name, *map(arrange, (q, k, v)), pse, bits, None, mask, *indices, *tail, OUT, OUT, None, OUT, want=(maximum, total, arrange(out)))
    _, g, (gq, gk, gv) = grads(lambda a, b, c: attention(a, *(t.repeat_interleave(a.shape[1] // t.shape[1], 1) for t in (b, c)), pse, masked, keep, pse_type=pse_type)[2], q, k, v)
    case(name.replace("Score", "ScoreGrad"), *map(arrange, (q, k, v, g)), pse, bits, None, mask, maximum, total, None, arrange(out), *indices, *tail,
         OUT, OUT, OUT, None, want=tuple(map(arrange, (gq, gk, gv))))


_q, _k, _v = make(2, 4, 6, 8), make(2, 4, 4, 8, seed=2), make(2, 4, 4, 8, seed=3)
_hide = ints(4, 2, 1, 6, 4) == 0
_hide[..., 0] = False
attention_case("aclnnFlashAttentionScore", _q, _k, _v)
attention_case("aclnnFlashAttentionScore", _q, _k[:, :2], _v[:, :2], masked=_hide)
attention_case("aclnnFlashAttentionScore", _q, _k, _v, pse=make(1, 4, 6, 4), keep=bools(2, 4, 6, 4))
attention_case("aclnnFlashAttentionScoreV2", _q, _k, _v, pse=make(2, 4, 6, 4), masked=_hide, pse_type=0)
attention_case("aclnnFlashAttentionScoreV2", _q, _k, _v, masked=torch.ones(6, 4, dtype=torch.bool).triu(1), next_tokens=0)
attention_case("aclnnFlashAttentionScoreV2", _q, _k, _v, masked=torch.ones(6, 4, dtype=torch.bool).triu(1), mask=torch.ones(2048, 2048, dtype=torch.bool).triu(1), sparse_mode=2)
attention_case("aclnnFlashAttentionScoreV2", _k, _q, _q, masked=torch.ones(4, 6, dtype=torch.bool).triu(3), mask=torch.ones(2048, 2048, dtype=torch.bool).triu(1), sparse_mode=3)
# Large enough that softcann makes the scores in parts: of heads, and of rows.
attention_case("aclnnFlashAttentionScoreV2", make(3, 4, 150, 8), make(3, 4, 150, 8, seed=2), make(3, 4, 150, 8, seed=3), pse=make(1, 4, 150, 150), keep=bools(3, 4, 150, 150))
attention_case("aclnnFlashAttentionScoreV2", make(2, 4, 300, 8), make(2, 2, 290, 8, seed=2), make(2, 2, 290, 8, seed=3), masked=torch.ones(300, 290, dtype=torch.bool).triu(1), next_tokens=0, keep=bools(2, 4, 300, 290))
attention_case("aclnnFlashAttentionScoreV2", _q, _k, _v, layout="BSND", arrange=lambda t: t.transpose(1, 2).contiguous())
attention_case("aclnnFlashAttentionScoreV2", _q, _k, _v, layout="BSH", arrange=lambda t: t.transpose(1, 2).flatten(2).contiguous())
attention_case("aclnnFlashAttentionScoreV2", _q, _k, _v, layout="SBH", arrange=lambda t: t.permute(2, 0, 1, 3).flatten(2).contiguous())


def packed_attention_case(query_ends, key_ends, keep=False, masks=None, mask=None, sparse_mode=0):
    """Sequences behind each other; `masks` gives what hides each sequence's scores."""
    q, k, v = make(query_ends[-1] + 1, 4, 8), make(key_ends[-1], 2, 8, seed=2), make(key_ends[-1], 2, 8, seed=3)
    ranges = [(slice(a, b), slice(c, d)) for a, b, c, d in zip([0, *query_ends], query_ends, [0, *key_ends], key_ends)]
    kept = [bools(1, 4, t.stop - t.start, s.stop - s.start) if keep else None for t, s in ranges]

    def whole(q, k, v):
        parts = []
        for i, (t, s) in enumerate(ranges):
            one, other = q[t].transpose(0, 1).unsqueeze(0), [x[s].transpose(0, 1).repeat_interleave(2, 0).unsqueeze(0) for x in (k, v)]
            parts.append([x[0].transpose(0, 1) for x in attention(one, *other, None, masks and masks[i], kept[i])])
        # The last row belongs to no sequence.
        return [torch.cat([*x, torch.zeros(1, 4, x[0].shape[2])]) for x in zip(*parts)]

    maximum, total, out = whole(q, k, v)
    bits = None
    if keep:
        bits = torch.cat([x.flatten() for x in kept])
        bits = torch.cat([bits, torch.zeros(-len(bits) % 8, dtype=torch.bool)])
        bits = (bits.reshape(-1, 8) * 2 ** torch.arange(8)).sum(1).to(torch.uint8)
    tail = (list(query_ends), list(key_ends), 0.5, 0.5 if keep else 1.0, LIMITLESS, LIMITLESS, 4, "TND", 0, sparse_mode)
    case("aclnnFlashAttentionVarLenScore", q, k, v, None, bits, None, mask, None, *tail, OUT, OUT, None, OUT, want=(maximum, total, out))
    _, g, (gq, gk, gv) = grads(lambda *x: whole(*x)[2], q, k, v)
    case("aclnnFlashAttentionUnpaddingScoreGrad", q, k, v, g, None, bits, None, mask, maximum, total, None, out, None, *tail, OUT, OUT, OUT, None,
         want=(gq, gk, gv))


packed_attention_case((3, 5), (4, 7))
packed_attention_case((3, 5), (3, 6), keep=True)
packed_attention_case((3, 5), (4, 7), masks=[torch.ones(3, 4, dtype=torch.bool).triu(2), torch.ones(2, 3, dtype=torch.bool).triu(2)],
                      mask=torch.ones(2048, 2048, dtype=torch.bool).triu(1), sparse_mode=3)


def lstm_cell(gates, c):
    i, f, g, o = gates.chunk(4, 1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c, torch.cat([i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()], 1)


_gates, _c, _b1, _b2 = make(3, 8), make(3, 2, seed=2), make(8, seed=3), make(8, seed=4)
_h, _cy, _storage = lstm_cell(_gates + make(3, 8, seed=5) + _b1 + _b2, _c)
case("aclnnThnnFusedLstmCell", _gates, make(3, 8, seed=5), _c, _b1, _b2, OUT, OUT, OUT, want=(_h, _cy, _storage))
_leaves = (_gates.clone().requires_grad_(), _c.clone().requires_grad_())
_h, _cy, _storage = lstm_cell(*_leaves)
_gg, _gc = torch.autograd.grad((_h, _cy), _leaves, (make(3, 2, seed=6), make(3, 2, seed=7)))
case("aclnnThnnFusedLstmCellBackward", make(3, 2, seed=6), make(3, 2, seed=7), _c, _cy.detach(), _storage.detach(), True, OUT, OUT, OUT, want=(_gg, _gc, _gg.sum(0)))

# ---- random ---------------------------------------------------------------------------------------------------------
_seed, _offset = torch.tensor([7]), torch.tensor([4])


def _drawn(name, drawn, *parameters, tensors=True):
    draw("aclnnInplace" + name, drawn, *parameters, 7, 4)
    if tensors:
        draw(f"aclnnInplace{name}Tensor", drawn, *parameters, _seed, _offset, 8)


_drawn("Uniform", Drawn(1000, low=2, high=3, mean=2.5, tolerance=0.05), 2.0, 3.0)
_drawn("Normal", Drawn(1000, low=-15, high=20, mean=2, tolerance=0.5), 2.0, 3.0)
_drawn("Random", Drawn(1000, low=3, high=8, mean=5.5, tolerance=0.3), 3, 9)
_drawn("RandomWithoutFromTo", Drawn(1000, low=0, high=127, mean=63.5, tolerance=6, dtype=torch.int8))
_drawn("Bernoulli", Drawn(1000, low=0, high=1, mean=0.3, tolerance=0.08), 0.3, tensors=False)
draw("aclnnInplaceBernoulliTensor", Drawn(1000, low=0, high=1, mean=0.3, tolerance=0.08), torch.full((1000,), 0.3), 7, 4)
draw("aclnnBernoulli", torch.zeros(1000), 0.3, 7, 4, Drawn(1000, low=0, high=1, mean=0.3, tolerance=0.08))
draw("aclnnBernoulliTensor", torch.zeros(1000), torch.full((1000,), 0.3), 7, 4, Drawn(1000, low=0, high=1, mean=0.3, tolerance=0.08))
draw("aclnnSimThreadExponential", Drawn(1000, low=0, high=20, mean=0.5, tolerance=0.08), 1000, 2.0, 7, 4)
for _name, _x, _y in (("FloatFloat", 2.0, 3.0), ("FloatTensor", 2.0, torch.full((1000,), 3.0)), ("TensorFloat", torch.full((1000,), 2.0), 3.0),
                      ("TensorTensor", torch.full((1000,), 2.0), torch.full((1000,), 3.0))):
    draw("aclnnNormal" + _name, _x, _y, 7, 4, Drawn(1000, low=-15, high=20, mean=2, tolerance=0.5))
draw("aclnnRandperm", 50, 7, 4, Drawn(50, low=0, high=49, mean=24.5, tolerance=0, dtype=torch.int64))
_weights = torch.tensor([0.0, 1.0, 0.0, 3.0])
draw("aclnnMultinomial", _weights, 400, True, 7, 4, Drawn(400, low=1, high=3, mean=2.5, tolerance=0.25, dtype=torch.int64))
draw("aclnnMultinomialTensor", _weights, 400, True, _seed, _offset, 8, Drawn(400, low=1, high=3, mean=2.5, tolerance=0.25, dtype=torch.int64))
_bytes = Drawn(144, low=0, high=255, mean=187, tolerance=25, dtype=torch.uint8)
draw("aclnnDropoutGenMask", (100, 11), 0.25, 7, 4, _bytes)
draw("aclnnDropoutGenMaskV2", (100, 11), 0.25, 7, 4, torch.float32, _bytes)
draw("aclnnDropoutGenMaskV2Tensor", (100, 11), 0.25, _seed, _offset, 8, torch.float32, _bytes)
_kept = Drawn(100, 11, low=0, high=1.33334, mean=1, tolerance=0.1)
draw("aclnnDropout", torch.ones(100, 11), 0.25, True, 7, 4, _kept, _bytes)
draw("aclnnDropoutV3", torch.ones(100, 11), None, 0.25, 7, 4, _kept, _bytes)
_full = torch.full((144,), 255, dtype=torch.uint8)
case("aclnnDropoutDoMask", make(100, 11), _full, 0.25, OUT, want=make(100, 11) / 0.75)
case("aclnnDropoutBackward", make(100, 11), _full, 2.0, OUT, want=make(100, 11) * 2)
