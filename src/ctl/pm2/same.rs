//! Which of PM2's commands are supctl's own, word for word? Their flags are the same, so supctl's parser reads them.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::ctl::args::Cli;

/// PM2's name and ours.
pub(super) const SAME: [(&str, &str); 16] = [
    ("set", "set"),
    ("multiset", "multiset"),
    ("get", "get"),
    ("unset", "unset"),
    ("conf", "conf"),
    ("config", "conf"),
    ("serve", "serve"),
    ("expose", "serve"),
    ("deploy", "deploy"),
    ("startup", "startup"),
    ("unstartup", "unstartup"),
    ("completion", "completions"),
    ("monit", "monit"),
    ("imonit", "monit"),
    ("dashboard", "monit"),
    ("dash", "monit"),
];

/// The command line in supctl's words; `None`: it is none of these. Flags may stand before the command.
pub(super) fn in_our_words(arguments: &[String]) -> Option<Vec<String>> {
    let at = arguments.iter().position(|word| !word.starts_with('-'))?;
    let (_, ours) = SAME.iter().find(|(name, _)| *name == arguments[at])?;
    let mut words = vec!["supctl".to_owned()];
    words.extend(arguments.iter().cloned());
    words[at + 1] = (*ours).to_owned();
    Some(words)
}

/// Carries it out. A wrong command line ends with PM2's code for that, 1.
pub(super) fn run(words: Vec<String>) -> ExitCode {
    match Cli::try_parse_from(words) {
        Ok(mut cli) => {
            cli.global.home = cli.global.home.or_else(|| super::pm2_home().map(PathBuf::from));
            crate::ctl::carry_out(cli)
        }
        Err(told) => {
            // Nobody is told when that cannot be printed.
            let _ = told.print();
            if told.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_handed_over() {
        let ours = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            in_our_words(&words).map(|words| words.join(" "))
        };
        assert_eq!(ours("set a:b 1").as_deref(), Some("supctl set a:b 1"));
        assert_eq!(ours("-s expose . 80 --spa").as_deref(), Some("supctl -s serve . 80 --spa"));
        assert_eq!(ours("start set"), None);
        for (_, ours) in SAME {
            assert!(
                Cli::try_parse_from(["supctl", ours, "--help"]).is_err_and(|told| !told.use_stderr()),
                "{ours}"
            );
        }
    }
}
