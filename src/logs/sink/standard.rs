//! Our own standard output and standard error, for a daemon in the foreground: a container's logs.
//!
//! Question answered here: *how much of this line do they take now?* They are what the keeper was started with, and it passes them on to every
//! supervisor. A pipe may take half of a long line; then nobody else may write before the other half is there.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use supd_api::Stream;
use supd_keeper::NoWait;

#[derive(Default)]
pub(super) struct Standard {
    out: Lane,
    err: Lane,
}

#[derive(Default)]
struct Lane {
    stream: Option<NoWait>,
    begun: Option<Begun>,
}

/// A line that was written in part.
struct Begun {
    /// Who comes again for the rest; `None`: it has left its pipe.
    owner: Option<u64>,
    line: Vec<u8>,
    written: usize,
    /// How many bytes of output it is.
    taken: usize,
}

impl Standard {
    /// Writes a `line` that is so many bytes of output. How many bytes of its owner's output have been written thereby.
    ///
    /// # Errors
    /// `WouldBlock`: not now, or not yet. Otherwise those of write(2).
    pub(super) fn send(
        &mut self,
        stream: Stream,
        owner: Option<u64>,
        taken: usize,
        line: impl FnOnce() -> Vec<u8>,
    ) -> io::Result<usize> {
        match stream {
            Stream::Out => self.out.send(io::stdout().as_fd(), owner, taken, line),
            Stream::Err => self.err.send(io::stderr().as_fd(), owner, taken, line),
        }
    }

    /// This one does not come again.
    pub(super) fn leave(&mut self, key: u64) {
        for begun in [&mut self.out, &mut self.err].into_iter().filter_map(|lane| lane.begun.as_mut()) {
            begun.owner = begun.owner.filter(|owner| *owner != key);
        }
    }
}

impl Lane {
    fn send(
        &mut self,
        stream: BorrowedFd<'_>,
        owner: Option<u64>,
        taken: usize,
        line: impl FnOnce() -> Vec<u8>,
    ) -> io::Result<usize> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(NoWait::to(stream)?),
        };
        if let Some(begun) = &mut self.begun {
            if begun.owner.is_some() && begun.owner != owner {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            write(stream, &begun.line, &mut begun.written)?;
            if let Some(Begun { owner: Some(_), taken, .. }) = self.begun.take() {
                return Ok(taken);
            }
        }
        let (line, mut written) = (line(), 0);
        match write(stream, &line, &mut written) {
            Err(error) if written > 0 => {
                self.begun = Some(Begun { owner, line, written, taken });
                // A copy has left its pipe already; its rest is on its way.
                if owner.is_some() { Err(error) } else { Ok(taken) }
            }
            done => done.map(|()| taken),
        }
    }
}

fn write(stream: &NoWait, line: &[u8], written: &mut usize) -> io::Result<()> {
    while *written < line.len() {
        match stream.write(&line[*written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter, Read as _, pipe};

    use super::*;

    struct Bench {
        lane: Lane,
        reader: PipeReader,
        writer: PipeWriter,
        read: Vec<u8>,
    }

    impl Bench {
        fn new() -> Self {
            let (reader, writer) = pipe().unwrap();
            Self { lane: Lane::default(), reader, writer, read: Vec::new() }
        }

        fn send(&mut self, owner: Option<u64>, letter: u8, length: usize) -> io::Result<usize> {
            let line = || [vec![letter; length - 1], b"\n".to_vec()].concat();
            self.lane.send(self.writer.as_fd(), owner, length, line)
        }

        fn read(&mut self, count: usize) {
            let mut bytes = vec![0; count];
            self.reader.read_exact(&mut bytes).unwrap();
            self.read.extend(bytes);
        }

        /// All that was read, as the letters of its lines, with their lengths.
        fn lines(mut self) -> Vec<(u8, usize)> {
            drop(self.lane);
            drop(self.writer);
            self.reader.read_to_end(&mut self.read).unwrap();
            let whole = |line: &[u8]| {
                assert!(line[..line.len() - 1].iter().all(|byte| *byte == line[0]), "torn");
                (line[0], line.len())
            };
            self.read.split_inclusive(|byte| *byte == b'\n').map(whole).collect()
        }
    }

    fn is_refused(sent: io::Result<usize>) -> bool {
        sent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    #[test]
    fn nobody_writes_into_the_line_of_another_who_comes_again() {
        let mut bench = Bench::new();
        assert_eq!(bench.send(Some(1), b'a', 60_000).unwrap(), 60_000);
        assert!(is_refused(bench.send(Some(2), b'b', 50_000)));
        assert!(is_refused(bench.send(Some(1), b'c', 10)));
        assert!(is_refused(bench.send(None, b'd', 10)));
        bench.read(60_000);
        assert!(is_refused(bench.send(Some(1), b'c', 10)), "the other one is first");
        assert_eq!(bench.send(Some(2), b'x', 50_001).unwrap(), 50_000, "what it had begun");
        assert_eq!(bench.send(Some(1), b'c', 10).unwrap(), 10);
        assert_eq!(bench.lines(), [(b'a', 60_000), (b'b', 50_000), (b'c', 10)]);
    }

    #[test]
    fn what_has_left_its_pipe_is_finished_by_whoever_comes_next() {
        let mut bench = Bench::new();
        assert_eq!(bench.send(None, b'a', 60_000).unwrap(), 60_000);
        assert_eq!(bench.send(None, b'b', 50_000).unwrap(), 50_000);
        assert!(is_refused(bench.send(None, b'c', 10)));
        bench.read(60_000);
        assert_eq!(bench.send(Some(1), b'd', 10).unwrap(), 10);
        assert_eq!(bench.lines(), [(b'a', 60_000), (b'b', 50_000), (b'd', 10)]);
    }
}
