// Small functions that operator rows use in their argument expressions.
#pragma once

#include <ATen/ExpandUtils.h>
#include <ATen/core/Generator.h>
#include <ATen/core/IListRef.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/dot.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/eq.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/ne.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/result_type.h>
#include <ATen/ops/smooth_l1_loss.h>
#include <ATen/ops/smooth_l1_loss_backward.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/zeros_like.h>

#include "compat/compat.h"
#include "ops/rules.h"

namespace torch_npu::ops {

// ---- matrix engine --------------------------------------------------------------------------------------------------
constexpr int64_t cube_math_type() { return 0; }  // keep the input precision: no lossy default

// ---- dimensions -----------------------------------------------------------------------------------------------------
DimVector all_dims(const at::Tensor& t);
DimVector dims_or_all(at::OptionalIntArrayRef dims, const at::Tensor& t);  // none or empty means all
inline DimVector dims_or_all(IntArrayRef dims, const at::Tensor& t) { return dims_or_all(at::OptionalIntArrayRef(dims), t); }
inline DimVector dim_or_all(optional<int64_t> dim, const at::Tensor& t) { return dim.has_value() ? DimVector{*dim} : all_dims(t); }
inline IntArrayRef or_same(IntArrayRef given, IntArrayRef otherwise) { return given.empty() ? otherwise : given; }

// ---- scalars and modes ----------------------------------------------------------------------------------------------
void check_reducible(const at::Tensor& self, int64_t dim, const char* function);
at::Tensor median_of_nothing(const at::Tensor& self);   // NaN, or what this platform makes of it in an integer type
void check_norm_dtype(const at::Tensor& self, ScalarType dtype);
int64_t correction_of(const optional<at::Scalar>& correction);            // default 1
int64_t div_mode(optional<string_view> rounding_mode);               // 0 none, 1 trunc, 2 floor
int64_t gelu_mode(string_view approximate);                               // 0 none, 1 tanh
int64_t scatter_reduction(string_view reduce);                            // 1 sum, 2 prod, 3 amax, 4 amin, 5 mean
bool right_side(bool right, optional<string_view> side);             // searchsorted's two spellings
std::pair<double, double> finite_range(ScalarType dtype);  // lowest and highest finite value
int64_t highest(ScalarType dtype);  // exclusive bound of random_(): what the dtype holds exactly

// ---- tensors --------------------------------------------------------------------------------------------------------
at::Tensor cast_to(const at::Tensor& t, ScalarType dtype);  // also moves a CPU scalar to the device
at::Tensor or_fill(const optional<at::Tensor>& t, int64_t n, double value, ScalarType dtype);  // t, or n values
Spec broadcast3(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c, ScalarType dtype);

// ---- checks with PyTorch's texts ------------------------------------------------------------------------------------
void check_not_empty(const at::Tensor& t, const char* op);
void check_dot(const at::Tensor& a, const at::Tensor& b);
void check_index_select(const at::Tensor& self, int64_t dim, const at::Tensor& index);
DimVector layer_norm_rows(const at::Tensor& input, IntArrayRef normalized_shape, const optional<at::Tensor>& weight,
                          const optional<at::Tensor>& bias);

// ---- joining and padding --------------------------------------------------------------------------------------------
std::vector<at::Tensor> nonempty(const at::ITensorListRef& tensors);  // cat ignores 1-D empty tensors
int64_t wrapped_cat_dim(const at::ITensorListRef& tensors, int64_t dim);
DimVector padded(const at::Tensor& self, IntArrayRef pad);
DimVector pooled(const at::Tensor& self, IntArrayRef output_size);
DimVector cdist_sizes(const at::Tensor& x1, const at::Tensor& x2);
DimVector im2col_sizes(const at::Tensor& self, IntArrayRef kernel, IntArrayRef dilation, IntArrayRef padding, IntArrayRef stride);
DimVector col2im_sizes(const at::Tensor& self, IntArrayRef output_size, IntArrayRef kernel);
DimVector embedding_sizes(const at::Tensor& weight, const at::Tensor& indices);

// ---- factories ------------------------------------------------------------------------------------------------------
void resize_to_range(const at::Tensor& out, const at::Scalar& start, const at::Scalar& end, const at::Scalar& step);
void resize_to_steps(const at::Tensor& out, int64_t steps);
void resize_to_eye(const at::Tensor& out, int64_t n, int64_t m);

// ---- random ---------------------------------------------------------------------------------------------------------
struct Philox {
  int64_t seed, offset;
};
// Takes (seed, offset) for so many numbers from the generator and advances it, as torch's CUDA generator does.
Philox philox(const optional<at::Generator>& generator, c10::Device device, int64_t numbers);
inline Philox philox(const optional<at::Generator>& generator, const at::Tensor& t) { return philox(generator, t.device(), t.numel()); }

}  // namespace torch_npu::ops
