//! What syslog is sent.
//!
//! Question answered here: *which bytes is a line there?* As the C library sends it (syslog(3), RFC 3164), which every syslog daemon
//! understands: `<priority>date tag[id]: text`, the date in local time.

use jiff::Zoned;
use supd_api::Stream;

use crate::logs::Source;

/// So many bytes of output go into a message: rsyslog cuts at 8 KiB by default.
pub(super) const MOST: usize = 7 * 1024;
/// LOG_DAEMON (syslog(3)).
const FACILITY: u8 = 3;
/// The longest tag (RFC 3164, section 4.1.3).
const TAG_MAX: usize = 32;

pub(super) fn message(source: &Source, text: &[u8], now: &Zoned) -> Vec<u8> {
    // LOG_INFO and LOG_ERR.
    let severity = match source.stream {
        Stream::Out => 6,
        Stream::Err => 3,
    };
    let tag: String = source.app.as_str().chars().map(plain).take(TAG_MAX).collect();
    let date = now.strftime("%b %e %H:%M:%S");
    let mut message = format!("<{}>{date} {tag}[{}]: ", FACILITY * 8 + severity, source.worker).into_bytes();
    for byte in text {
        match byte {
            // As rsyslog shows it. Some take it for the end.
            0 => message.extend_from_slice(b"#000"),
            other => message.push(*other),
        }
    }
    message
}

/// A tag ends where something else begins.
fn plain(letter: char) -> char {
    if letter.is_ascii_alphanumeric() || "._-/".contains(letter) { letter } else { '_' }
}

#[cfg(test)]
mod tests {
    use supd_api::AppName;
    use supd_keeper::protocol::RunId;

    use super::*;

    #[test]
    fn a_message_reads_as_that_of_the_c_library() {
        let now: Zoned = "2026-11-01T10:00:00[UTC]".parse().unwrap();
        let app = AppName::new("my app: [x]").unwrap();
        let mut source =
            Source { run: RunId(1), app, namespace: String::new(), worker: 3, stream: Stream::Out };
        let expected = b"<30>Nov  1 10:00:00 my_app___x_[3]: a\xff#000b";
        assert_eq!(message(&source, b"a\xff\0b", &now), expected);
        source.stream = Stream::Err;
        assert!(message(&source, b"", &now).starts_with(b"<27>"));
    }
}
