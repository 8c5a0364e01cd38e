//! What journald is sent.
//!
//! Question answered here: *which fields has a line?* By its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): a datagram is one entry
//! of fields `NAME=value`, each ended by a newline; a value that contains one is preceded by its length instead.

use supd_api::Stream;

use crate::logs::Source;
use crate::logs::pipe::CHUNK;

/// More is never looked at at a time, and with its fields it fits into a datagram (`wmem_default` is 208 KiB, socket(7)). So
/// nothing has to be handed over in a file.
pub(super) const MOST: usize = CHUNK;

pub(super) fn entry(source: &Source, text: &[u8]) -> Vec<u8> {
    let Source { run, app, worker, stream, .. } = source;
    // LOG_INFO and LOG_ERR (syslog(3)).
    let (priority, stream) = match stream {
        Stream::Out => ("6", "out"),
        Stream::Err => ("3", "err"),
    };
    let mut entry = Vec::with_capacity(text.len() + 200);
    for (name, value) in [
        ("MESSAGE", text),
        ("PRIORITY", priority.as_bytes()),
        ("SYSLOG_IDENTIFIER", app.as_str().as_bytes()),
        ("SUPD_APP", app.as_str().as_bytes()),
        ("SUPD_WORKER", worker.to_string().as_bytes()),
        ("SUPD_RUN", run.0.to_string().as_bytes()),
        ("SUPD_STREAM", stream.as_bytes()),
    ] {
        field(&mut entry, name, value);
    }
    entry
}

fn field(entry: &mut Vec<u8>, name: &str, value: &[u8]) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value);
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_a_newline_has_its_length_before_it() {
        let mut entry = Vec::new();
        field(&mut entry, "A", b"x\0\xff=y");
        field(&mut entry, "B", b"x\nC=y\n");
        assert_eq!(entry, b"A=x\0\xff=y\nB\n\x06\0\0\0\0\0\0\0x\nC=y\n\n");
    }
}
