// Dropout of whole activations (Srivastava et al., 2014).
#pragma once

#include <string>

#include "core/model/module.h"

namespace katman {

// Drops elements of activations [rows, columns] outside tensor-parallel regions. The mask is a
// function of (seed, name, global row, column), so every layout and every recomputation draws the
// same one. Does nothing at p = 0 and outside training.
class Dropout {
 public:
  Dropout(const ModelContext& context, const std::string& name, float p)
      : context_(context), p_(p), key_(context.seed.at("dropout").at(name)) {}

  void forward(const Tensor& x, const Micro& micro) const;  // in place
  // The gradient: dy itself where nothing was dropped, else a new tensor.
  Tensor backward(const Tensor& dy, const Micro& micro) const;

 private:
  const ModelContext& context_;
  float p_;
  Key key_;
};

}  // namespace katman
