// The calling thread's Python stack.
#pragma once

#include <Python.h>
#include <frameobject.h>

#include <torch/csrc/profiler/unwind/unwind.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "compat/gathered_context.h"

namespace torch {

struct SymbolizedTracebacks {
  std::vector<unwind::Frame> all_frames;
  std::vector<std::vector<uint64_t>> tracebacks;
};

struct CapturedTraceback : public c10::GatheredContext {
  static std::shared_ptr<CapturedTraceback> gather(bool python, bool, bool) {
    auto captured = std::make_shared<CapturedTraceback>();
    if (!python || Py_IsInitialized() == 0 || PyGILState_GetThisThreadState() == nullptr) return captured;
    const PyGILState_STATE gil = PyGILState_Ensure();  // operators are called without it
    for (PyFrameObject* frame = PyEval_GetFrame(); frame != nullptr; frame = frame->f_back) {
      const char* file = PyUnicode_AsUTF8(frame->f_code->co_filename);
      const char* name = PyUnicode_AsUTF8(frame->f_code->co_name);
      captured->frames_.push_back({file == nullptr ? "" : file, name == nullptr ? "" : name,
                                   static_cast<uint64_t>(PyFrame_GetLineNumber(frame))});
    }
    PyGILState_Release(gil);
    return captured;
  }

  std::vector<unwind::Frame> frames_;
};

inline SymbolizedTracebacks symbolize(const std::vector<CapturedTraceback*>& to_symbolize) {
  SymbolizedTracebacks result;
  for (const CapturedTraceback* stack : to_symbolize) {
    result.tracebacks.emplace_back();
    for (const auto& frame : stack->frames_) {
      result.tracebacks.back().push_back(result.all_frames.size());
      result.all_frames.push_back(frame);
    }
  }
  return result;
}

inline void installCapturedTracebackPython() {}

}  // namespace torch
