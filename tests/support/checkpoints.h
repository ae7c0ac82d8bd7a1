// What tests do to checkpoints, and what they read of them.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace mbt::test {

/// Names the files' present sizes and hashes in metadata.json: for tests of what comes after that comparison.
void reseal(const std::filesystem::path& checkpoint);
/// Inverts the lowest bit of one byte; at < 0: counted from the end.
void flip_bit(const std::filesystem::path& file, int64_t at);
/// Every tensor, whole, by name: the same however many ranks wrote it.
std::map<std::string, std::vector<float>> tensors_of(const std::filesystem::path& checkpoint);
/// All files of a checkpoint but its config and metadata, one after the other.
std::string state_of(const std::filesystem::path& checkpoint);

}  // namespace mbt::test
