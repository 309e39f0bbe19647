#include "orchestrator/bench/gemm.h"

#include "core/model/presets.h"
#include "orchestrator/bench/peak.h"
#include "orchestrator/rank_device.h"

namespace katman {
namespace {

// A layer y [rows, out] = x [rows, in] W^T, W [out, in].
struct Layer {
  std::string name;
  int64_t in, out;
  bool biased;
  Gemm::Epilogue forward, input_grad;
};

class Bench {
 public:
  Bench(const GemmBench& bench, Backend& backend)
      : bench_(bench),
        backend_(backend),
        dtype_(bench.precision == "fp32" ? DType::f32 : DType::bf16) {}

  GemmReport run();

 private:
  void forward(const Layer& layer);
  void input_grad(const Layer& layer);
  void weight_grad(const Layer& layer);
  void add(const std::string& name, const Gemm& product);
  double fastest(const std::function<void()>& enqueue);
  Tensor activations(int64_t columns) { return backend_.zeros({bench_.rows, columns}, dtype_); }

  const GemmBench& bench_;
  Backend& backend_;
  DType dtype_;
  GemmReport report_;
};

double Bench::fastest(const std::function<void()>& enqueue) {
  backend_.weights_changed();
  const double seconds = fastest_seconds(backend_, enqueue, bench_.seconds);
  backend_.weights_changed();
  return seconds;
}

void Bench::add(const std::string& name, const Gemm& product) {
  GemmFigures figures;
  figures.name = name;
  figures.m = product.c.extent(0), figures.n = product.c.extent(1);
  figures.k = product.a.extent(product.a_transposed ? 0 : 1);
  figures.best_s = fastest([&] { backend_.gemm(product); });
  if (product.bias_grad) {
    Gemm alone = product;
    alone.bias_grad = {};
    figures.apart_s = fastest([&] {
      backend_.gemm(alone);
      backend_.bias_grad(product.a, product.bias_grad);
    });
  }
  figures.flops = 2.0 * static_cast<double>(figures.m) * static_cast<double>(figures.n) *
                  static_cast<double>(figures.k) / figures.best_s;
  figures.share = figures.flops / report_.peak_flops;
  report_.products.push_back(figures);
}

void Bench::forward(const Layer& layer) {
  Gemm product;
  product.a = activations(layer.in);
  product.b = backend_.zeros({layer.out, layer.in}, dtype_);
  product.b_transposed = product.b_is_weight = true;
  product.c = activations(layer.out);
  product.epilogue = layer.forward;
  if (layer.forward != Gemm::Epilogue::none) product.bias = backend_.zeros({layer.out}, dtype_);
  if (layer.forward == Gemm::Epilogue::bias_gelu) product.aux = activations(layer.out);
  add(layer.name + " forward", product);
}

void Bench::input_grad(const Layer& layer) {
  Gemm product;
  product.a = activations(layer.out);
  product.b = backend_.zeros({layer.out, layer.in}, dtype_);
  product.b_is_weight = true;
  product.c = activations(layer.in);
  product.epilogue = layer.input_grad;
  if (layer.input_grad == Gemm::Epilogue::gelu_grad) product.aux = activations(layer.in);
  add(layer.name + " input gradient", product);
}

void Bench::weight_grad(const Layer& layer) {
  Gemm product;
  product.a = activations(layer.out);
  product.a_transposed = true;
  product.b = activations(layer.in);
  product.c = backend_.zeros({layer.out, layer.in}, DType::f32);
  product.accumulate = true;
  if (layer.biased) product.bias_grad = backend_.zeros({layer.out}, DType::f32);
  add(layer.name + " weight gradient", product);
}

GemmReport Bench::run() {
  const GptConfig model = gpt_preset(bench_.preset);
  report_.device = backend_.name();
  report_.nominal_flops = dtype_ == DType::bf16 ? nominal_peak_flops(report_.device) : 0;
  report_.peak_size = peak_size_on(report_.device, bench_.peak_size);
  report_.peak_flops = measured_peak_flops(backend_, dtype_, report_.peak_size, 1);
  using enum Gemm::Epilogue;
  const bool biased = model.biases, gelu = model.activation == Activation::gelu;
  const auto forward_of = biased ? bias : none;
  for (const Layer& layer :
       {Layer{"attn.qkv", model.hidden, model.qkv_rows(), biased, forward_of, none},
        Layer{"attn.proj", model.hidden, model.hidden, biased, forward_of, none},
        Layer{"mlp.up", model.hidden, model.up_rows(), biased,
              gelu && biased ? bias_gelu : forward_of, none},
        Layer{"mlp.down", model.ff(), model.hidden, biased, forward_of, gelu ? gelu_grad : none},
        Layer{"logits", model.hidden, (model.vocabulary + 127) / 128 * 128, false, none, none}}) {
    forward(layer);
    input_grad(layer);
    weight_grad(layer);
  }
  return report_;
}

}  // namespace

GemmReport run_gemm_bench(const GemmBench& bench) {
  require_usage(bench.rows >= 1, "--rows {}: use at least one", bench.rows);
  require_usage(bench.peak_size >= 1, "--peak {}: use at least one", bench.peak_size);
  require_usage(bench.precision == "fp32" || bench.precision == "bf16",
                "--precision {}: use fp32 or bf16", bench.precision);
  const auto backend = make_backend(device_of_rank(bench.device, {}), bench.threads);
  return Bench(bench, *backend).run();
}

}  // namespace katman
