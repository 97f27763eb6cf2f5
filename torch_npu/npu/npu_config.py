"""Switches that npu programs set. Operators go through aclnn, whose kernels are compiled already, and tensors keep their plain format:
what permits something else is kept and not used, and what could be expected to take effect is said aloud."""

import enum
import os
import warnings

from torch_npu import _library
from torch_npu.npu.devices import _existing_device_index, _lazy_init
from torch_npu.npu.streams import _named

__all__ = [
    "CubeMathType",
    "are_compatible_impl_enabled",
    "config",
    "conv",
    "finalize_dump",
    "get_device_limit",
    "get_mm_bmm_format_nd",
    "get_stream_limit",
    "init_dump",
    "is_jit_compile_false",
    "matmul",
    "reset_device_limit",
    "reset_stream_limit",
    "set_compile_mode",
    "set_device_limit",
    "set_dump",
    "set_mm_bmm_format_nd",
    "set_option",
    "set_stream_limit",
    "use_compatible_impl",
]


class CubeMathType(enum.IntEnum):
    """How the matrix engine computes with float32."""

    KEEP_DTYPE = 0
    ALLOW_FP32_DOWN_PRECISION = 1
    USE_FP16 = 2
    USE_HF32 = 3
    FORCE_GRP_ACC_FOR_FP32 = 4
    USE_FP32_ADD = 4


class _Flags:
    """Values by name, each of one type; only the names it was made with. ``_changed`` is told of each assignment."""

    def __init__(self, name, changed=lambda flag, value: None, **flags):
        self.__dict__.update(flags, _name=name, _changed=changed)

    def __setattr__(self, flag, value):
        if flag.startswith("_") or flag not in self.__dict__:
            raise AttributeError(f"torch.npu.{self._name} has no attribute '{flag}'")
        kind = type(self.__dict__[flag])
        if not isinstance(value, kind):
            raise TypeError(f"torch.npu.{self._name}.{flag} takes a {kind.__name__}, got {type(value).__name__}")
        self._changed(flag, value)
        self.__dict__[flag] = value


def _matmul_changed(flag, value):
    if flag == "allow_hf32":
        value = CubeMathType.USE_HF32 if value else CubeMathType.KEEP_DTYPE
    if _library.loaded():
        _library.bindings().set_matmul_math_type(value)
    matmul.__dict__.update(allow_hf32=value == CubeMathType.USE_HF32, cube_math_type=value)


def _conv_changed(flag, value):
    if _library.loaded():
        _library.bindings().set_conv_math_type(CubeMathType.USE_HF32 if value else CubeMathType.KEEP_DTYPE)


#: ``allow_internal_format``: whether tensors may have a private memory format. They never do.
config = _Flags("config", allow_internal_format=False)
#: ``allow_hf32``: whether matrix products of float32 are computed in HF32, with 11 bits instead of 24; ``cube_math_type``: the same with
#: more to choose from, see :class:`CubeMathType`. The software device computes in full.
matmul = _Flags("matmul", _matmul_changed, allow_hf32=False, cube_math_type=CubeMathType.KEEP_DTYPE)
#: ``allow_hf32``: whether convolutions of float32 may be computed in HF32. They are from the moment that a program sets it.
conv = _Flags("conv", _conv_changed, allow_hf32=True)


def _no_effect(what, why):
    warnings.warn(f"{what} has no effect: {why}", stacklevel=3)


def set_compile_mode(jit_compile=False):
    """Whether operators are compiled at run time. They never are; asking for it warns."""
    if jit_compile:
        _no_effect("torch.npu.set_compile_mode(jit_compile=True)", "operators are compiled already")


def is_jit_compile_false():
    """``True``: operators are never compiled at run time."""
    return True


def set_mm_bmm_format_nd(is_nd=True):
    """Whether matrix products use the plain format. They always do; asking for another warns."""
    if not is_nd:
        _no_effect("torch.npu.set_mm_bmm_format_nd(False)", "tensors keep their plain format")


def get_mm_bmm_format_nd():
    """``True``: matrix products use the plain format."""
    return True


_compatible = True


def use_compatible_impl(is_enable):
    """Whether operators have to give what PyTorch gives. They always do, so ``False`` permits what is not needed."""
    if not isinstance(is_enable, bool):
        raise TypeError(f"use_compatible_impl takes a bool, got {type(is_enable).__name__}")
    global _compatible
    _compatible = is_enable


def are_compatible_impl_enabled():
    """What :func:`use_compatible_impl` was told last; ``True`` before."""
    return _compatible


def set_option(option):
    """Several switches at once, a dict of strings, as ``{"jitCompile": "disable", "ALLOW_MATMUL_HF32": "enable"}``.

    Keys: ``ALLOW_CONV_HF32``, ``ALLOW_MATMUL_HF32``, ``ALLOW_INTERNAL_FORMAT``, ``jitCompile``, ``jitCompileInit``, ``MM_BMM_ND_ENABLE`` with
    the values ``enable`` and ``disable``; ``CUBE_MATH_TYPE`` with a number of :class:`CubeMathType`; ``FORCE_ACLNN_OP_LIST``, which is
    always so; ``ACL_OP_SELECT_IMPL_MODE``, ``ACL_OPTYPELIST_FOR_IMPLMODE``, ``ACL_PRECISION_MODE``, ``ACL_OP_COMPILER_CACHE_MODE``,
    ``ACL_OP_COMPILER_CACHE_DIR``, ``ACL_OP_DEBUG_LEVEL``, ``ACL_DEBUG_DIR`` and ``NPU_FUZZY_COMPILE_BLACKLIST``, which concern operators
    compiled at run time and warn. Others raise ValueError, and nothing is set.
    """
    if not isinstance(option, dict):
        raise TypeError(f"option has to be a dict, got {type(option).__name__}")
    actions = []
    for key, value in option.items():
        if key in _SWITCHES:
            if value not in ("enable", "disable"):
                raise ValueError(f"torch.npu.set_option: {key} takes 'enable' or 'disable', got {value!r}")
            actions.append((_SWITCHES[key], value == "enable"))
        elif key == "CUBE_MATH_TYPE":
            if str(value) not in [str(int(t)) for t in CubeMathType]:
                raise ValueError(f"torch.npu.set_option: {key} takes a number from 0 to 4, got {value!r}")
            actions.append((lambda v: setattr(matmul, "cube_math_type", v), CubeMathType(int(value))))
        elif key in _OF_COMPILER:
            actions.append((lambda k: _no_effect(f"torch.npu.set_option({{{k!r}: ...}})", "operators are compiled already"), key))
        elif key != "FORCE_ACLNN_OP_LIST":  # what it asks for is always so
            known = [*_SWITCHES, "CUBE_MATH_TYPE", "FORCE_ACLNN_OP_LIST", *_OF_COMPILER]
            raise ValueError(f"torch.npu.set_option knows no '{key}'; it knows {', '.join(known)}")
    for action, value in actions:
        action(value)


_SWITCHES = {
    "ALLOW_CONV_HF32": lambda on: setattr(conv, "allow_hf32", on),
    "ALLOW_MATMUL_HF32": lambda on: setattr(matmul, "allow_hf32", on),
    "ALLOW_INTERNAL_FORMAT": lambda on: setattr(config, "allow_internal_format", on),
    "jitCompile": set_compile_mode,
    "jitCompileInit": set_compile_mode,
    "MM_BMM_ND_ENABLE": set_mm_bmm_format_nd,
}
_OF_COMPILER = (
    "ACL_OP_SELECT_IMPL_MODE",
    "ACL_OPTYPELIST_FOR_IMPLMODE",
    "ACL_PRECISION_MODE",
    "ACL_OP_COMPILER_CACHE_MODE",
    "ACL_OP_COMPILER_CACHE_DIR",
    "ACL_OP_DEBUG_LEVEL",
    "ACL_DEBUG_DIR",
    "NPU_FUZZY_COMPILE_BLACKLIST",
)


# ---- cores that operators may use ------------------------------------------------------------------------------------


def _as_dict(limits):
    return dict(zip(("cube_core_num", "vector_core_num"), limits))


def _device_of_limit(device):
    if isinstance(device, bool) or not isinstance(device, int):
        raise TypeError(f"device has to be an int, got {type(device).__name__}")
    _lazy_init()
    return _existing_device_index(device)


def set_device_limit(device, cube_num=-1, vector_num=-1):
    """Limits operators on ``device`` (int) to so many cube and vector cores, for this process; -1 leaves a number as it is."""
    _library.bindings().set_device_limits(_device_of_limit(device), cube_num, vector_num)


def get_device_limit(device):
    """How many cores operators on ``device`` (int) may use: ``{"cube_core_num": ..., "vector_core_num": ...}``."""
    return _as_dict(_library.bindings().device_limits(_device_of_limit(device)))


def reset_device_limit(device):
    """Lets operators on ``device`` (int) use all cores again."""
    _library.bindings().reset_device_limits(_device_of_limit(device))


def set_stream_limit(stream, cube_num=-1, vector_num=-1):
    """Limits operators on ``stream`` to so many cube and vector cores; -1 leaves a number as it is. Goes before :func:`set_device_limit`.
    Operators are then prepared anew at every call."""
    _library.bindings().set_stream_limits(*_named_stream(stream), cube_num, vector_num)


def get_stream_limit(stream):
    """How many cores operators on ``stream`` may use; without limits of its own, the device's."""
    return _as_dict(_library.bindings().stream_limits(*_named_stream(stream)))


def reset_stream_limit(stream):
    """Takes the limits of ``stream`` away."""
    _library.bindings().reset_stream_limits(*_named_stream(stream))


def _named_stream(stream):
    if stream is None:
        raise TypeError("Expected a torch.npu.Stream, got None")
    return _named(stream)


# ---- dumps -------------------------------------------------------------------------------------------------------------


def init_dump():
    """Makes CANN ready to dump operators' inputs and outputs. Raises :class:`torch_npu.NPUNotSupportedError` on the software device."""
    _lazy_init()
    _library.bindings().init_dump()


def set_dump(cfg_file):
    """Starts the dump that ``cfg_file``, a JSON file of CANN's form, describes."""
    if not os.path.isfile(cfg_file):
        raise FileNotFoundError(f"set_dump: {cfg_file} does not exist")
    _lazy_init()
    _library.bindings().set_dump(str(cfg_file))


def finalize_dump():
    """Ends the dump."""
    _lazy_init()
    _library.bindings().finalize_dump()
