use super::*;
use crate::ctl::fake::{in_state, worker};
use supd_api::Millis;

fn crew() -> Vec<WorkerView> {
    let mut waiting = in_state(worker(12, "api-with-a-rather-long-name"), Status::Waiting, "exit code 1");
    waiting.remaining = Some(Millis(8000));
    vec![waiting, worker(0, "web"), in_state(worker(1, "web"), Status::Stopped, "stopped by a user")]
}

fn shown(width: Option<u16>) -> String {
    list(&crew(), Style { width, ..Style::default() })
}

#[test]
fn golden_tables() {
    insta::assert_snapshot!(shown(Some(60)), @r"
    ┌────┬───────────────┬───┬─────────────────┬──────┬────────┐
    │ id │ name          │ ↺ │ status          │ cpu  │ mem    │
    ├────┼───────────────┼───┼─────────────────┼──────┼────────┤
    │ 12 │ api-with-a-r… │ 0 │ waiting restart │ 0%   │ 0b     │
    │ 0  │ web           │ 0 │ online          │ 0.3% │ 51.3mb │
    │ 1  │ web           │ 0 │ stopped         │ 0%   │ 0b     │
    └────┴───────────────┴───┴─────────────────┴──────┴────────┘
      api-with-a-rather-long-name (12) waiting restart: exit code 1 (8s left)
      web (1) stopped: stopped by a user
    ");
    insta::assert_snapshot!(shown(Some(80)), @r"
    ┌────┬────────────────┬─────────┬────────┬───┬─────────────────┬──────┬────────┐
    │ id │ name           │ mode    │ uptime │ ↺ │ status          │ cpu  │ mem    │
    ├────┼────────────────┼─────────┼────────┼───┼─────────────────┼──────┼────────┤
    │ 12 │ api-with-a-ra… │ cluster │ 0      │ 0 │ waiting restart │ 0%   │ 0b     │
    │ 0  │ web            │ cluster │ 2h     │ 0 │ online          │ 0.3% │ 51.3mb │
    │ 1  │ web            │ cluster │ 0      │ 0 │ stopped         │ 0%   │ 0b     │
    └────┴────────────────┴─────────┴────────┴───┴─────────────────┴──────┴────────┘
      api-with-a-rather-long-name (12) waiting restart: exit code 1 (8s left)
      web (1) stopped: stopped by a user
    ");
    insta::assert_snapshot!(shown(Some(120)), @r"
    ┌────┬──────────────────┬───────────┬─────────┬─────────┬──────┬────────┬───┬─────────────────┬──────┬────────┬────────┐
    │ id │ name             │ namespace │ version │ mode    │ pid  │ uptime │ ↺ │ status          │ cpu  │ mem    │ user   │
    ├────┼──────────────────┼───────────┼─────────┼─────────┼──────┼────────┼───┼─────────────────┼──────┼────────┼────────┤
    │ 12 │ api-with-a-rath… │ default   │ 1.2.3   │ cluster │ 0    │ 0      │ 0 │ waiting restart │ 0%   │ 0b     │ deploy │
    │ 0  │ web              │ default   │ 1.2.3   │ cluster │ 4000 │ 2h     │ 0 │ online          │ 0.3% │ 51.3mb │ deploy │
    │ 1  │ web              │ default   │ 1.2.3   │ cluster │ 0    │ 0      │ 0 │ stopped         │ 0%   │ 0b     │ deploy │
    └────┴──────────────────┴───────────┴─────────┴─────────┴──────┴────────┴───┴─────────────────┴──────┴────────┴────────┘
      api-with-a-rather-long-name (12) waiting restart: exit code 1 (8s left)
      web (1) stopped: stopped by a user
    ");
    insta::assert_snapshot!(shown(Some(200)), @r"
    ┌────┬─────────────────────────────┬───────────┬─────────┬─────────┬──────┬────────┬───┬─────────────────┬──────┬────────┬────────┐
    │ id │ name                        │ namespace │ version │ mode    │ pid  │ uptime │ ↺ │ status          │ cpu  │ mem    │ user   │
    ├────┼─────────────────────────────┼───────────┼─────────┼─────────┼──────┼────────┼───┼─────────────────┼──────┼────────┼────────┤
    │ 12 │ api-with-a-rather-long-name │ default   │ 1.2.3   │ cluster │ 0    │ 0      │ 0 │ waiting restart │ 0%   │ 0b     │ deploy │
    │ 0  │ web                         │ default   │ 1.2.3   │ cluster │ 4000 │ 2h     │ 0 │ online          │ 0.3% │ 51.3mb │ deploy │
    │ 1  │ web                         │ default   │ 1.2.3   │ cluster │ 0    │ 0      │ 0 │ stopped         │ 0%   │ 0b     │ deploy │
    └────┴─────────────────────────────┴───────────┴─────────┴─────────┴──────┴────────┴───┴─────────────────┴──────┴────────┴────────┘
      api-with-a-rather-long-name (12) waiting restart: exit code 1 (8s left)
      web (1) stopped: stopped by a user
    ");
}

#[test]
fn without_a_terminal_nothing_is_left_out() {
    insta::assert_snapshot!(shown(None), @r"
    ┌────┬─────────────────────────────┬───────────┬─────────┬─────────┬──────┬────────┬───┬─────────────────┬──────┬────────┬────────┐
    │ id │ name                        │ namespace │ version │ mode    │ pid  │ uptime │ ↺ │ status          │ cpu  │ mem    │ user   │
    ├────┼─────────────────────────────┼───────────┼─────────┼─────────┼──────┼────────┼───┼─────────────────┼──────┼────────┼────────┤
    │ 12 │ api-with-a-rather-long-name │ default   │ 1.2.3   │ cluster │ 0    │ 0      │ 0 │ waiting restart │ 0%   │ 0b     │ deploy │
    │ 0  │ web                         │ default   │ 1.2.3   │ cluster │ 4000 │ 2h     │ 0 │ online          │ 0.3% │ 51.3mb │ deploy │
    │ 1  │ web                         │ default   │ 1.2.3   │ cluster │ 0    │ 0      │ 0 │ stopped         │ 0%   │ 0b     │ deploy │
    └────┴─────────────────────────────┴───────────┴─────────┴─────────┴──────┴────────┴───┴─────────────────┴──────┴────────┴────────┘
      api-with-a-rather-long-name (12) waiting restart: exit code 1 (8s left)
      web (1) stopped: stopped by a user
    ");
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for width in 40..220 {
        let text = list(&crew()[1..2], Style { width: Some(width), ..Style::default() });
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(usize::from(width)), "{width}:\n{text}");
    }
}

#[test]
fn colours_only_when_wanted() {
    assert!(!shown(Some(120)).contains('\x1b'));
    assert!(list(&crew(), Style { colour: true, ..Style::default() }).contains('\x1b'));
}

#[test]
fn an_empty_list_is_a_header() {
    insta::assert_snapshot!(list(&[], Style::default()), @r"
    ┌────┬──────┬───────────┬─────────┬──────┬─────┬────────┬───┬────────┬─────┬─────┬──────┐
    │ id │ name │ namespace │ version │ mode │ pid │ uptime │ ↺ │ status │ cpu │ mem │ user │
    ├────┼──────┼───────────┼─────────┼──────┼─────┼────────┼───┼────────┼─────┼─────┼──────┤
    └────┴──────┴───────────┴─────────┴──────┴─────┴────────┴───┴────────┴─────┴─────┴──────┘
    ");
}
