//! The command line of supd.

fn main() -> std::process::ExitCode {
    supd::ctl::run()
}
