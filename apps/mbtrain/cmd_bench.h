// The benchmarks of `mbtrain bench`: one function and one file each.
#pragma once

#include <string>
#include <vector>

namespace mbt {

/// Collectives between the ranks of a launch.
int bench_comm(const std::vector<std::string>& args);
/// A model of the step time at many ranks, from parts that are measured here.
int bench_scaling(const std::vector<std::string>& args);
/// Making the dataset of a run and reading its batches.
int bench_data(const std::vector<std::string>& args);
/// Matrix products of a model's layer and its head: shapes x roles x operand kinds.
int bench_gemm(const std::vector<std::string>& args);
/// Memory-bound ops, against a copy.
int bench_ops(const std::vector<std::string>& args);
/// A training step of the configured model by part, against its matrix products alone and the machine's peak.
int bench_step(const std::vector<std::string>& args);

}  // namespace mbt
