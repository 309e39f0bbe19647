// Figures of a task from the scores of its examples.
#pragma once

#include <string>
#include <vector>

#include "orchestrator/eval/evaluate.h"

namespace katman {

// The mean of the values.
Metric mean_metric(const std::string& name, const std::vector<double>& values);
// e^-mean of log-likelihoods.
Metric perplexity_metric(const std::string& name, const std::vector<double>& log_likelihoods);
// sum of log-likelihoods / sum of weights, as e^-ratio, or as bits: -ratio / ln 2.
Metric weighted_perplexity_metric(const std::string& name,
                                  const std::vector<double>& log_likelihoods,
                                  const std::vector<double>& weights, bool bits);

}  // namespace katman
