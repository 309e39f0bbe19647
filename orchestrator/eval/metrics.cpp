#include "orchestrator/eval/metrics.h"

#include <cmath>
#include <numeric>

namespace katman {
namespace {

double sum_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

}  // namespace

Metric mean_metric(const std::string& name, const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  Metric metric{name, sum_of(values) / n};
  if (values.size() < 2) return metric;
  double squares = 0;
  for (const double value : values) squares += (value - metric.value) * (value - metric.value);
  metric.standard_error = std::sqrt(squares / (n - 1) / n);
  return metric;
}

Metric perplexity_metric(const std::string& name, const std::vector<double>& log_likelihoods) {
  Metric metric = mean_metric(name, log_likelihoods);
  metric.value = std::exp(-metric.value);
  if (metric.standard_error) *metric.standard_error *= metric.value;
  return metric;
}

Metric weighted_perplexity_metric(const std::string& name,
                                  const std::vector<double>& log_likelihoods,
                                  const std::vector<double>& weights, bool bits) {
  const auto n = static_cast<double>(weights.size());
  const double weight = sum_of(weights), ratio = sum_of(log_likelihoods) / weight;
  Metric metric{name, bits ? -ratio / std::log(2.0) : std::exp(-ratio)};
  if (weights.size() < 2) return metric;
  double squares = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const double residual = log_likelihoods[i] - ratio * weights[i];
    squares += residual * residual;
  }
  const double error = std::sqrt(squares * n / (n - 1)) / weight;
  metric.standard_error = bits ? error / std::log(2.0) : error * metric.value;
  return metric;
}

}  // namespace katman
