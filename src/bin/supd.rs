//! The daemon. `supd` is the keeper; it starts itself again as the supervisor.

use std::process::ExitCode;

fn main() -> ExitCode {
    supd::daemon::main()
}
