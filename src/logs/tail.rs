//! The last lines of a file.
//!
//! Question answered here: *where do the last n lines begin, and what are they?* Whatever the file's size and the length
//! of its lines, it needs a fixed amount of memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use supd_api::{LogLine, LogText};
use tokio::sync::mpsc;

use super::live::SHOWN;
use super::subscription::Opened;

const BLOCK: usize = 64 * 1024;
const WAITING_LINES: usize = 64;

/// Reads the last `count` lines of each file, by a blocking task that ends early when the receiver is dropped.
pub(super) fn read(files: Vec<Opened>, count: usize) -> mpsc::Receiver<LogLine> {
    let (out, lines) = mpsc::channel(WAITING_LINES);
    tokio::task::spawn_blocking(move || {
        for file in files {
            let path = file.about.path.display().to_string();
            if out.blocking_send(LogLine::File { path, lines: count }).is_err() {
                return;
            }
            if let Err(error) = read_one(&file, count, &out) {
                tracing::warn!("cannot read the last lines of {}: {error}", file.about.path.display());
            }
        }
    });
    lines
}

fn read_one(file: &Opened, count: usize, out: &mpsc::Sender<LogLine>) -> io::Result<()> {
    let start = start_of_last(&file.file, file.end, count, || out.is_closed())?;
    let mut reader = BufReader::with_capacity(BLOCK, &file.file);
    reader.seek(SeekFrom::Start(start))?;
    let mut reader = reader.take(file.end - start);
    while let Some(line) = next_line(&mut reader)? {
        let line = LogLine::Line {
            app: file.about.app.clone(),
            worker: file.about.worker,
            stream: file.about.stream,
            text: LogText::from(line),
        };
        if out.blocking_send(line).is_err() {
            break;
        }
    }
    Ok(())
}

/// The offset of the last `count` lines before `end`, found block by block backwards.
fn start_of_last(file: &File, end: u64, count: usize, given_up: impl Fn() -> bool) -> io::Result<u64> {
    let mut block = vec![0; BLOCK];
    let mut newlines = 0;
    let mut position = end;
    while position > 0 && !given_up() {
        let length = position.min(BLOCK as u64);
        position -= length;
        let bytes = &mut block[..usize::try_from(length).unwrap_or(BLOCK)];
        file.read_exact_at(bytes, position)?;
        for (index, _) in bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let after = position + index as u64 + 1;
            // The newline at the very end closes the last line and begins none.
            newlines += usize::from(after < end);
            if newlines == count && after < end {
                return Ok(after);
            }
        }
    }
    Ok(position)
}

/// The next line without its newline and without what is beyond [`SHOWN`].
fn next_line(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut any = false;
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(any.then_some(line));
        }
        any = true;
        let newline = bytes.iter().position(|&byte| byte == b'\n');
        let text = &bytes[..newline.unwrap_or(bytes.len())];
        line.extend_from_slice(&text[..text.len().min(SHOWN - line.len())]);
        let used = newline.map_or(bytes.len(), |newline| newline + 1);
        reader.consume(used);
        if newline.is_some() {
            return Ok(Some(line));
        }
    }
}
