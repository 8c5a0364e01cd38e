//! Cutting a stream into lines, without taking more of it than has been handled.
//!
//! Question answered here: *which bytes at the head of the stream make the next line?* The caller only *looks* at
//! the stream (`MSG_PEEK`) and takes bytes when told; so a line stays in the kernel until it has been handled, and
//! a supervisor that dies in between leaves it to its successor. Only of a line that is not there in one piece
//! (sent in parts, or longer than a look shows) are the first parts kept here.
//!
//! A successor that starts in the middle of such a line takes its rest for a line of its own. That is no valid
//! JSON document and is dropped, and with the next line feed all is well again.

use super::message::{Incoming, parse};

/// A longer line is dropped.
pub(super) const LINE_MAX: usize = 8 << 20;

/// The parts of the line that has begun.
#[derive(Default)]
pub(super) struct Lines {
    kept: Vec<u8>,
    /// The line that has begun is too long.
    dropping: bool,
}

impl Lines {
    /// Looks for the end of a line: how many bytes to take for it, and what it says. `None`: it is not in here.
    /// The next look must be at what follows those bytes.
    pub(super) fn next(&mut self, seen: &[u8]) -> Option<(usize, Incoming)> {
        let end = seen.iter().position(|byte| *byte == b'\n')?;
        let last = &seen[..end];
        let kept = std::mem::take(&mut self.kept);
        let dropping = std::mem::take(&mut self.dropping);
        let meaning = if dropping || kept.len() + last.len() > LINE_MAX {
            Incoming::Noise
        } else if kept.is_empty() {
            parse(last)
        } else {
            parse(&[&kept, last].concat())
        };
        Some((end + 1, meaning))
    }

    /// Takes a part without a line feed.
    pub(super) fn keep(&mut self, part: &[u8]) {
        if self.dropping || self.kept.len() + part.len() > LINE_MAX {
            self.dropping = true;
            self.kept = Vec::new();
        } else {
            self.kept.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::message::FromWorker;
    use super::*;

    /// Reads a stream through looks of these sizes, as the driver does.
    fn read(stream: &[u8], looks: &[usize]) -> Vec<Incoming> {
        let mut lines = Lines::default();
        let mut said = Vec::new();
        let mut rest = stream;
        let mut sizes = looks.iter().cycle();
        while !rest.is_empty() {
            let size = sizes.next().copied().unwrap_or(1).clamp(1, rest.len());
            let mut seen = &rest[..size];
            if !seen.contains(&b'\n') {
                lines.keep(seen);
                rest = &rest[size..];
            }
            while let Some((taken, meaning)) = lines.next(seen) {
                said.push(meaning);
                seen = &seen[taken..];
                rest = &rest[taken..];
            }
        }
        said
    }

    #[test]
    fn a_line_that_is_too_long_is_dropped_and_the_next_one_heard() {
        let mut stream = vec![b'x'; LINE_MAX + 1];
        stream.extend_from_slice(b"\n\"ready\"\n");
        assert_eq!(read(&stream, &[65536]), [Incoming::Noise, Incoming::Event(FromWorker::Ready)]);
        let mut lines = Lines::default();
        for _ in 0..1000 {
            lines.keep(&[b'x'; 65536]);
            assert!(lines.kept.capacity() <= 2 * LINE_MAX);
        }
    }

    #[test]
    fn the_rest_of_a_lost_line_is_noise() {
        let said = read(b"e\",\"seq\":0}\n\"ready\"\n", &[100]);
        assert_eq!(said, [Incoming::Noise, Incoming::Event(FromWorker::Ready)]);
    }

    proptest! {
        #[test]
        fn looks_do_not_matter(
            stream in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'1'), any::<u8>()], 0..400),
            looks in proptest::collection::vec(1usize..50, 1..20),
        ) {
            let mut expected: Vec<_> = stream.split(|byte| *byte == b'\n').map(parse).collect();
            expected.pop();
            prop_assert_eq!(read(&stream, &looks), expected);
        }
    }
}
