// What the user's terminal takes. fd: STDOUT_FILENO or STDERR_FILENO.
#pragma once

namespace mbt {

/// A person's. Open MPI's mpirun gives its processes a terminal of its own as stdout, wherever their output goes: that is none.
bool is_terminal(int fd);
/// A terminal, unless NO_COLOR has any value (https://no-color.org), or TERM is dumb or not set.
bool takes_color(int fd);
/// A terminal whose lines can be written over: TERM is not dumb.
bool takes_overwriting(int fd);

}  // namespace mbt
