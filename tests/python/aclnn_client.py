"""A client of CANN's C interface through ctypes: torch CPU tensors in, device, operator, back.

    client = Client(lib64)
    out = client.run("aclnnAdd", a, b, Scalar(1), Out(torch.empty(3)))

Arguments by Python type: tensor -> aclTensor (copied to the device, strides and all), ``Out`` -> the same, ``Ref`` -> in and out,
``None`` -> null, ``Scalar`` -> aclScalar, list of tensors -> aclTensorList, tuple of ints/bools -> aclIntArray/aclBoolArray, torch.dtype -> aclDataType,
str, bool, int and float -> as declared in abi/aclnn.csv.
"""
import ctypes
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "codegen"))
import abi_model  # noqa: E402

NUMBERS = {
    "float32": 0, "float16": 1, "int8": 2, "int32": 3, "uint8": 4, "int16": 6, "uint16": 7, "uint32": 8, "int64": 9, "uint64": 10, "float64": 11,
    "bool": 12, "complex64": 16, "complex128": 17, "bfloat16": 27, "complex32": 33, "float8_e5m2": 35, "float8_e4m3fn": 36, "float8_e8m0fnu": 37,
}
#: Those that this torch has.
TYPES = {getattr(torch, name): number for name, number in NUMBERS.items() if hasattr(torch, name)}
NAMES = {v: k for k, v in TYPES.items()}
H2D, D2H = 1, 2


class AclError(RuntimeError):
    def __init__(self, function, code, message):
        super().__init__(f"{function}: {code}: {message}")
        self.code, self.message = code, message


@dataclass
class Out:
    tensor: torch.Tensor


class Ref(Out):
    pass


@dataclass
class Scalar:
    value: object
    dtype: torch.dtype = None


class Client:
    """One device, one stream."""

    def __init__(self, lib64, device=0):
        self.acl = ctypes.CDLL(str(Path(lib64) / "libascendcl.so"), mode=ctypes.RTLD_GLOBAL)
        self.op = ctypes.CDLL(str(Path(lib64) / "libopapi.so"))
        self.acl.aclGetRecentErrMsg.restype = ctypes.c_char_p
        for name in ("aclCreateTensor", "aclCreateScalar", "aclCreateIntArray", "aclCreateBoolArray", "aclCreateFloatArray",
                     "aclCreateTensorList", "aclCreateScalarList"):
            getattr(self.op, name).restype = ctypes.c_void_p
        code = self.acl.aclInit(None)
        if code not in (0, 100002):
            self.check("aclInit", code)
        self.check("aclrtSetDevice", self.acl.aclrtSetDevice(device))
        self.stream = ctypes.c_void_p()
        self.check("aclrtCreateStream", self.acl.aclrtCreateStream(ctypes.byref(self.stream)))

    def check(self, function, code):
        if code != 0:
            message = self.acl.aclGetRecentErrMsg()
            raise AclError(function, code, message.decode() if message else "")

    # Memory: replaced by tests that have no device.
    def malloc(self, size):
        address = ctypes.c_void_p()
        self.check("aclrtMalloc", self.acl.aclrtMalloc(ctypes.byref(address), ctypes.c_size_t(size), 0))
        return address.value

    def free(self, address):
        self.check("aclrtFree", self.acl.aclrtFree(ctypes.c_void_p(address)))

    def copy(self, to, source, size, kind):
        self.check("aclrtMemcpy", self.acl.aclrtMemcpy(ctypes.c_void_p(to), ctypes.c_size_t(size), ctypes.c_void_p(source), ctypes.c_size_t(size),
                                                       kind))

    def synchronize(self):
        self.check("aclrtSynchronizeStream", self.acl.aclrtSynchronizeStream(self.stream))

    def run(self, name, *arguments):
        """Runs an operator; returns its outputs (Out and Ref arguments, in order): one tensor or a tuple."""
        with Call(self, name, arguments) as call:
            executor = call.prepare()
            self.check(name, getattr(self.op, name)(None, ctypes.c_uint64(0), executor, self.stream))
            self.synchronize()
            return call.outputs()


class Call:
    """The argument objects of one call."""

    def __init__(self, client, name, arguments):
        self.client, self.name = client, name
        self.declared = abi_model.aclnn_ops()[name].parameters
        if len(self.declared) != len(arguments):
            raise TypeError(f"{name} takes {', '.join(p.name for p in self.declared)}; {len(arguments)} arguments were given")
        self.memory, self.destroy, self.results, self.keep = {}, [], [], []
        self.arguments = arguments

    def __enter__(self):
        self.converted = [self.convert(p, a) for p, a in zip(self.declared, self.arguments)]
        return self

    def __exit__(self, *_):
        for function, handle in self.destroy:
            self.client.check(function, getattr(self.client.op, function)(ctypes.c_void_p(handle)))
        for address, _ in self.memory.values():
            self.client.free(address)

    def prepare(self):
        size, executor = ctypes.c_uint64(), ctypes.c_void_p()
        function = self.name + "GetWorkspaceSize"
        self.client.check(function, getattr(self.client.op, function)(*self.converted, ctypes.byref(size), ctypes.byref(executor)))
        return executor

    def outputs(self):
        out = [self.fetch(handle, tensor) for handle, tensor in self.results]
        return out[0] if len(out) == 1 else tuple(out)

    # -- conversion

    def create(self, kind, *arguments):
        handle = getattr(self.client.op, "aclCreate" + kind)(*arguments)
        if not handle:
            self.client.check("aclCreate" + kind, 1)
        return handle

    def owned(self, kind, handle):
        self.destroy.append(("aclDestroy" + kind, handle))
        return ctypes.c_void_p(handle)

    def address_of(self, tensor):
        storage = tensor.untyped_storage()
        if not storage.nbytes():
            return None
        if storage.data_ptr() not in self.memory:
            address = self.client.malloc(storage.nbytes())
            self.memory[storage.data_ptr()] = address, storage
            self.client.copy(address, storage.data_ptr(), storage.nbytes(), H2D)
        return self.memory[storage.data_ptr()][0]

    def tensor(self, tensor, storage_shape=None):
        dims = (ctypes.c_int64 * tensor.dim())(*tensor.shape)
        strides = (ctypes.c_int64 * tensor.dim())(*tensor.stride())
        storage = (ctypes.c_int64 * 1)(tensor.untyped_storage().nbytes() // tensor.element_size())
        return self.create("Tensor", dims, ctypes.c_uint64(tensor.dim()), TYPES[tensor.dtype], strides, ctypes.c_int64(tensor.storage_offset()), 2,
                           storage, ctypes.c_uint64(1), ctypes.c_void_p(self.address_of(tensor)))

    def scalar(self, value):
        if not isinstance(value, Scalar):
            value = Scalar(value)
        dtype = value.dtype or {bool: torch.bool, int: torch.int64, float: torch.float64, complex: torch.complex128}[type(value.value)]
        number = torch.tensor([value.value], dtype=dtype)
        return self.create("Scalar", ctypes.c_void_p(number.data_ptr()), TYPES[dtype])

    def convert(self, parameter, value):
        if isinstance(value, Out):
            if isinstance(value.tensor, (list, tuple)):
                handles = [self.tensor(t) for t in value.tensor]
                self.results += zip(handles, value.tensor)
                return self.list_of("TensorList", handles)
            handle = self.tensor(value.tensor)
            self.results.append((handle, value.tensor))
            return self.owned("Tensor", handle)
        kind = parameter.kind
        if value is None and kind in "TLSZIBFs":
            return None
        if kind == "T":
            return self.owned("Tensor", self.tensor(value))
        if kind == "L":
            return self.list_of("TensorList", [self.tensor(t) for t in value])
        if kind == "S":
            return self.owned("Scalar", self.scalar(value))
        if kind == "Z":
            return self.list_of("ScalarList", [self.scalar(v) for v in value])
        if kind in "IBF":
            spelling, element = {"I": ("IntArray", ctypes.c_int64), "B": ("BoolArray", ctypes.c_bool), "F": ("FloatArray", ctypes.c_float)}[kind]
            return self.owned(spelling, self.create(spelling, (element * len(value))(*value), ctypes.c_uint64(len(value))))
        if kind == "s":
            return ctypes.c_char_p(value.encode())
        if isinstance(value, torch.dtype):
            value = TYPES[value]
        return {"l": ctypes.c_int64, "i": ctypes.c_int32, "c": ctypes.c_int8, "b": ctypes.c_bool, "d": ctypes.c_double, "f": ctypes.c_float}[kind](value)

    def list_of(self, kind, handles):
        array = (ctypes.c_void_p * len(handles))(*handles)
        return self.owned(kind, self.create(kind, array, ctypes.c_uint64(len(handles))))

    def fetch(self, handle, tensor):
        """What the device has now, in the shape the operator left."""
        dims, count = ctypes.POINTER(ctypes.c_int64)(), ctypes.c_uint64()
        self.client.check("aclGetViewShape", self.client.op.aclGetViewShape(ctypes.c_void_p(handle), ctypes.byref(dims), ctypes.byref(count)))
        shape = [dims[i] for i in range(count.value)]
        if not tensor.untyped_storage().nbytes():
            return torch.empty(shape, dtype=tensor.dtype)
        address, storage = self.memory[tensor.untyped_storage().data_ptr()]
        host = torch.empty(storage.nbytes(), dtype=torch.uint8)
        self.client.copy(host.data_ptr(), address, storage.nbytes(), D2H)
        view = torch.empty(0, dtype=tensor.dtype).set_(host.untyped_storage(), 0, (storage.nbytes() // tensor.element_size(),))
        strides = tensor.stride() if shape == list(tensor.shape) else torch.empty(shape, device="meta").stride()
        return view.as_strided(shape, strides, tensor.storage_offset()).clone()
