// Everything is hidden by default; what the Python bindings and C++ programs use of libtorch_npu.so says so.
#pragma once

#define TORCH_NPU_API __attribute__((visibility("default")))
