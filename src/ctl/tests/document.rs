use clap::CommandFactory;
use supd_api::FaultCode;

use crate::ctl::args::Cli;
use crate::ctl::output::{DIFFERS, INTERRUPTED};

const DOCUMENT: &str = include_str!("../../../packaging/docs/supctl.md");

/// The first two cells of each row of the table after this heading.
fn rows(heading: &str) -> Vec<(String, String)> {
    let after = DOCUMENT.split_once(heading).unwrap().1;
    let table = after.lines().skip_while(|line| !line.starts_with("|-")).skip(1);
    let cells = |line: &str| {
        let mut cells = line.split('|').skip(1).map(|cell| cell.trim().trim_matches('`').to_owned());
        (cells.next().unwrap(), cells.next().unwrap())
    };
    table.take_while(|line| line.starts_with('|')).map(cells).collect()
}

#[test]
fn the_documented_exit_codes_are_those_of_the_code() {
    let name = |code: FaultCode| serde_json::to_value(code).unwrap().as_str().unwrap().to_owned();
    let mut codes: Vec<(u8, String)> =
        [0, 2, DIFFERS, INTERRUPTED].into_iter().map(|code| (code, String::new())).collect();
    codes.extend(FaultCode::ALL.into_iter().map(|code| (code.exit_code(), name(code))));
    codes.sort();
    let codes: Vec<(String, String)> =
        codes.into_iter().map(|(code, name)| (code.to_string(), name)).collect();
    assert_eq!(rows("## Exit codes"), codes);
}

#[test]
fn every_command_has_a_documented_json_shape() {
    let mut documented: Vec<String> = rows("## JSON").into_iter().map(|(command, _)| command).collect();
    documented.sort();
    let mut commands: Vec<String> =
        Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    commands.sort();
    assert_eq!(documented, commands);
}
