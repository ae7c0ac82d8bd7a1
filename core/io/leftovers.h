// Temporary names beside a target, and what killed programs leave under them.
#pragma once

#include <string>

namespace mbt {

/// Between the target's name and what tells its writers apart: digits, a dot and digits of a file, hexadecimal digits of a folder.
constexpr const char* kTemporaryInfix = ".tmp.";

/// Locks the open temporary file or folder until it is closed: so others know that its writer lives, on whatever machine. False when one
/// of them has taken it for a leftover in the moment between its making and this call: make another. A file system without locks is as if
/// all writers lived.
bool claim_temporary(int fd);

/// Removes what lies under a temporary name of `target` and belongs to no living writer. What cannot be removed stays.
void remove_leftovers(const std::string& target);
/// The same for all targets in a folder.
void remove_leftovers_in(const std::string& folder);

}  // namespace mbt
