// Captured stacks as lists of dicts, which torch kept to itself.
#include <unordered_map>

#include "python/bindings.h"

namespace torch {

std::vector<pybind11::object> py_symbolize(std::vector<CapturedTraceback*>& to_symbolize) {
  // Memory that was allocated together shares its stack.
  std::unordered_map<CapturedTraceback*, size_t> numbers;
  std::vector<CapturedTraceback*> different;
  for (CapturedTraceback* stack : to_symbolize) {
    if (numbers.emplace(stack, different.size()).second) different.push_back(stack);
  }
  const SymbolizedTracebacks symbols = symbolize(different);
  std::vector<pybind11::object> frames;
  for (const auto& frame : symbols.all_frames) {
    pybind11::dict d;
    d["name"] = frame.funcname;
    d["filename"] = frame.filename;
    d["line"] = frame.lineno;
    frames.push_back(std::move(d));
  }
  std::vector<pybind11::object> stacks;
  for (const auto& indices : symbols.tracebacks) {
    pybind11::list list;
    for (const uint64_t i : indices) list.append(frames.at(i));
    stacks.push_back(std::move(list));
  }
  std::vector<pybind11::object> result;
  for (CapturedTraceback* stack : to_symbolize) result.push_back(stacks.at(numbers.at(stack)));
  return result;
}

}  // namespace torch
