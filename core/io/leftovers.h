// Temporary names beside a target, and the temporary files that killed programs leave behind.
#pragma once

#include <string>

namespace mbt {

/// Between the target's name and what tells its writers apart: digits, a dot and digits of a file, hexadecimal digits of a folder.
constexpr const char* kTemporaryInfix = ".tmp.";

/// Locks the open temporary file or folder until it is closed. The lock shows other processes, on any machine, that its writer is alive.
/// Returns false when another process removed it as a leftover between its creation and this call; create another one then. On a file
/// system without locks every writer counts as alive.
bool claim_temporary(int fd);

/// Removes temporary files and folders of `target` whose writers are no longer alive. What cannot be removed stays.
void remove_leftovers(const std::string& target);
/// The same for all targets in a folder.
void remove_leftovers_in(const std::string& folder);

}  // namespace mbt
