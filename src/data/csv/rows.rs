//! From bytes to rows of cells, with the line each row starts at and a limit on how long a row may be.

use crate::error::Error;
use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

/// The longest row, in bytes. A row is held in memory, and a file without a line break in 1 MiB is not a table of
/// numbers.
pub(super) const LONGEST_ROW: usize = 1 << 20;

/// How lines are cut into rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub delimiter: u8,
    /// Lines at the beginning that are left out.
    pub skip: u64,
    /// Lines that begin with it are left out.
    pub comment: Option<u8>,
}

impl From<u8> for Layout {
    fn from(delimiter: u8) -> Self {
        Self { delimiter, skip: 0, comment: None }
    }
}

/// The rows of a table.
pub(super) struct Rows<R: Read> {
    reader: Reader<Lines<R>>,
    record: ByteRecord,
}

/// The line of a row, its cells, and the empty lines before it.
type Row<'a> = (u64, &'a ByteRecord, &'a [u64]);

/// Why there is no next row.
#[derive(Debug)]
pub(super) enum Stop {
    /// A NUL byte, which no text holds.
    Nul,
    /// More than [`LONGEST_ROW`] bytes.
    TooLong,
    /// The file ends inside quotes.
    OpenQuote,
    /// The operating system reported an error.
    Io(io::Error),
}

impl<R: Read> Rows<R> {
    pub(super) fn new(source: R, layout: impl Into<Layout>) -> Self {
        let layout @ Layout { delimiter, .. } = layout.into();
        let lines = Lines::new(source, layout);
        let mut builder = ReaderBuilder::new();
        builder.delimiter(delimiter).has_headers(false).flexible(true).terminator(Terminator::Any(b'\n'));
        Self { reader: builder.from_reader(lines), record: ByteRecord::new() }
    }

    /// The next row, the line it starts at, from 1, and the empty lines before it. An error has the line at which the
    /// row starts.
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>, (u64, Stop)> {
        let start = self.reader.get_ref().line + 1;
        self.reader.get_mut().left = LONGEST_ROW;
        self.reader.get_mut().empty.clear();
        let found = self.reader.read_byte_record(&mut self.record);
        let lines = self.reader.get_mut();
        match found {
            Ok(false) => Ok(None),
            // a row ends with its line break; only an open quote reads on to the end
            Ok(true) if lines.ended => Err((start, Stop::OpenQuote)),
            Ok(true) => {
                let inside = self.record.as_slice().iter().filter(|&&byte| byte == b'\n').count();
                let line = lines.line.saturating_sub(inside as u64);
                let empty = lines.empty.get(..lines.empty.partition_point(|&empty| empty < line));
                Ok(Some((line, &self.record, empty.unwrap_or_default())))
            }
            Err(error) => Err((start, lines.stop.take().unwrap_or_else(|| Stop::Io(error.into())))),
        }
    }
}

impl Stop {
    pub(super) fn into_error(self, name: &Path, line: u64) -> Error {
        let reason = match self {
            Self::Nul => "holds a NUL byte, which no text file has; this is no CSV file, or a damaged one".to_string(),
            Self::TooLong => format!(
                "a row of more than {LONGEST_ROW} bytes starts here; is a quote left open, or is this no CSV file?"
            ),
            Self::OpenQuote => "a quote (\") opens in this row and never closes; close or remove it".to_string(),
            Self::Io(error) => return Error::io(name, error),
        };
        Error::row(name, line, reason)
    }
}

/// Passes the source on one line at a time, so that the number of the current line is always known. Every kind of line
/// break (LF, CRLF, CR) becomes LF, and the last line gets one if it has none.
struct Lines<R: Read> {
    source: BufReader<R>,
    /// Whether a run of spaces counts as one, and spaces at either end of a line are dropped.
    squeeze: bool,
    /// Lines that are still to be left out, and the byte that begins a line which is left out too.
    skip: u64,
    comment: Option<u8>,
    /// Whether the current line is left out.
    leaves_out: bool,
    /// The empty lines that were passed on since the last row.
    empty: Vec<u64>,
    /// Lines passed on so far.
    line: u64,
    /// Bytes that the current row may still have.
    left: usize,
    /// Whether the last byte was a CR: an LF right after it belongs to the same line break.
    after_cr: bool,
    at_line_start: bool,
    pending_space: bool,
    /// Whether the reader asked for more than there was.
    ended: bool,
    stop: Option<Stop>,
}

impl<R: Read> Lines<R> {
    fn new(source: R, Layout { delimiter, skip, comment }: Layout) -> Self {
        let source = BufReader::with_capacity(1 << 16, source);
        Self {
            source,
            squeeze: delimiter == b' ',
            skip,
            comment,
            leaves_out: false,
            empty: Vec::new(),
            line: 0,
            left: LONGEST_ROW,
            after_cr: false,
            at_line_start: true,
            pending_space: false,
            ended: false,
            stop: None,
        }
    }

    fn stop(&mut self, stop: Stop) -> io::Error {
        self.stop = Some(stop);
        ErrorKind::InvalidData.into()
    }

    /// Fills `out`, at most up to the end of a line. Returns how much was read from the source, how much was written to
    /// `out`, and whether there was a NUL. Lines that are left out do not count as bytes of the current row.
    fn copy(&mut self, out: &mut [u8]) -> io::Result<(usize, usize, bool)> {
        let input = self.source.fill_buf()?;
        let (mut read, mut written) = (0, 0);
        for &byte in input {
            // a pending space and this byte need two places
            if written + 2 > out.len() {
                break;
            }
            read += 1;
            let after_cr = core::mem::replace(&mut self.after_cr, byte == b'\r');
            let begins_comment = self.at_line_start && Some(byte) == self.comment;
            if !(self.leaves_out || self.skip > 0 || begins_comment) {
                self.left = self.left.saturating_sub(1);
            }
            match byte {
                0 => return Ok((read, written, true)),
                b'\n' if after_cr => continue,
                b'\n' | b'\r' if self.leaves_out || self.skip > 0 => {
                    self.skip = self.skip.saturating_sub(1);
                    self.line += 1;
                    (self.at_line_start, self.leaves_out) = (true, false);
                }
                _ if self.leaves_out || self.skip > 0 => {}
                _ if begins_comment => self.leaves_out = true,
                b'\n' | b'\r' => {
                    if self.at_line_start {
                        self.empty.push(self.line + 1);
                    }
                    out[written] = b'\n';
                    written += 1;
                    self.line += 1;
                    (self.at_line_start, self.pending_space) = (true, false);
                    break;
                }
                b' ' if self.squeeze => self.pending_space = !self.at_line_start,
                _ => {
                    if core::mem::take(&mut self.pending_space) {
                        out[written] = b' ';
                        written += 1;
                    }
                    out[written] = byte;
                    written += 1;
                    self.at_line_start = false;
                }
            }
        }
        Ok((read, written, false))
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // one more than allowed, so that a row of exactly the longest length is accepted
        let room = out.len().min(self.left + 1);
        if room < 2 {
            return Err(self.stop(Stop::TooLong));
        }
        loop {
            let (read, written, nul) = self.copy(&mut out[..room])?;
            self.source.consume(read);
            if nul {
                return Err(self.stop(Stop::Nul));
            }
            if written > 0 {
                return Ok(written);
            }
            if read == 0 {
                break;
            }
            if self.left == 0 {
                return Err(self.stop(Stop::TooLong));
            }
        }
        if self.at_line_start {
            self.ended = true;
            return Ok(0);
        }
        self.at_line_start = true;
        self.line += 1;
        out[0] = b'\n';
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, delimiter: u8) -> Vec<(u64, Vec<String>)> {
        let mut rows = Rows::new(text.as_bytes(), delimiter);
        let mut found = Vec::new();
        while let Some((line, row, _)) = rows.next().unwrap() {
            found.push((line, row.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect()));
        }
        found
    }

    fn row(line: u64, cells: &[&str]) -> (u64, Vec<String>) {
        (line, cells.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn lines_are_those_of_a_text_editor() {
        let expected = [row(1, &["a", "b"]), row(4, &["1\n\nx", "2"]), row(7, &["3", "4"]), row(8, &["5", "6"])];
        let text = "a,b\n\n\n\"1\n\nx\",2\n3,4\n5,6";
        assert_eq!(all(text, b','), expected);
        assert_eq!(all(&text.replace('\n', "\r\n"), b','), expected);
        assert_eq!(all(&text.replace('\n', "\r"), b','), expected);
        assert_eq!(all(&format!("{text}\n"), b','), expected);
    }

    #[test]
    fn runs_of_spaces_are_one_delimiter() {
        assert_eq!(all("  a   b \n 1 2\n   \n", b' '), [row(1, &["a", "b"]), row(2, &["1", "2"])]);
    }

    #[test]
    fn long_rows_and_open_quotes_stop() {
        let mut rows = Rows::new(io::repeat(b'1'), b',');
        assert!(matches!(rows.next(), Err((1, Stop::TooLong))));
        let mut rows = Rows::new("1\n\"2\n".as_bytes().chain(io::repeat(b'\n')), b',');
        assert!(rows.next().is_ok());
        assert!(matches!(rows.next(), Err((2, Stop::TooLong))));
        let mut rows = Rows::new("1,2\n\"\n".as_bytes(), b',');
        assert!(rows.next().is_ok());
        assert!(matches!(rows.next(), Err((2, Stop::OpenQuote))));
    }
}
