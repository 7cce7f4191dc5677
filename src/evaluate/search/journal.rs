//! The journal of a search: a line for each training that is done. A search that was stopped continues from it.

use super::Attempt;
use crate::error::{Error, Result};
use crate::io::atomic::{open, replaced, write_atomic};
use crate::memory::asking;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The version of the format, in the first line.
const VERSION: u32 = 1;

/// The longest journal that is read, in bytes: a million trainings, more than any search has.
const LARGEST: u64 = 1 << 28;
/// The longest first line. The options of a search are a few hundred bytes, and JSON can take many times its length in
/// memory.
const LONGEST_HEAD: usize = 1 << 16;

/// The first line: the search that the journal belongs to.
#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(rename = "rnnstep-search")]
    version: u32,
    asked: Value,
}

/// A file of JSON lines that grows. The first line has the options of the search; it is written whole or not at all.
/// Each other line is an [`Attempt`]. A line that was cut off or damaged is left out, and its training is done again.
///
/// **Bounds.** A journal of up to 256 MiB is read into memory. Time is linear in its length, memory is five times its
/// length.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<File>,
    attempts: Vec<Attempt>,
    damaged: usize,
}

impl Journal {
    /// Opens the journal of the search with the options `asked`, a JSON object. If there is none, it creates one.
    ///
    /// # Errors
    /// If the file is not a journal, is the journal of another search, or cannot be written.
    pub fn open(path: impl Into<PathBuf>, asked: &Value) -> Result<Self> {
        let path = path.into();
        // /dev/null and the like work as a journal too: nothing is read from it
        let opened = replaced(&path)?.map(|_| open(&path)).transpose();
        let bytes = match opened {
            Ok(None) => Vec::new(),
            Ok(Some((file, _))) => read(&file).map_err(|error| Error::io(&path, error))?,
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        if bytes.len() as u64 > LARGEST {
            let reason =
                format!("is longer than {LARGEST} bytes, which no journal of a search is; give another --journal");
            return Err(Error::file(path, reason));
        }
        if bytes.is_empty() {
            let head = line(&path, &Head { version: VERSION, asked: asked.clone() })?;
            write_atomic(&path, |out| out.write_all(head.as_bytes()))?;
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines();
        if let Some(first) = lines.next() {
            // with many columns it may be longer, but not longer than this search would write it
            let own = line(&path, &Head { version: VERSION, asked: asked.clone() })?.len();
            let head = Some(first).filter(|first| first.len() <= LONGEST_HEAD.max(own));
            let head: Head = head
                .and_then(|first| serde_json::from_str(first).ok())
                .ok_or_else(|| Error::file(&path, "is no journal of a search; give another --journal"))?;
            check(&path, &head, asked)?;
        }
        let (mut attempts, mut damaged) = (Vec::new(), 0);
        for line in lines.filter(|line| !line.trim().is_empty()) {
            match serde_json::from_str::<Attempt>(line) {
                // a score is a quotient of two errors, so it is not below 0
                Ok(attempt) if attempt.score.is_none_or(|score| (0.0..f64::INFINITY).contains(&score)) => {
                    attempts.push(attempt);
                }
                _ => damaged += 1,
            }
        }
        let mut file = OpenOptions::new().append(true).open(&path).map_err(|error| Error::io(&path, error))?;
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            // a line that was cut off must not be joined with the next one
            file.write_all(b"\n").map_err(|error| Error::io(&path, error))?;
        }
        Ok(Self { path, file: Mutex::new(file), attempts, damaged })
    }

    /// The trainings that were done before.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// Lines that could not be read.
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    /// Adds a line.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn add(&self, attempt: &Attempt) -> Result<()> {
        let line = line(&self.path, attempt)?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // in one call, so that only a crash of the machine can cut off a line
        file.write_all(line.as_bytes()).map_err(|error| Error::io(&self.path, error))
    }
}

/// Reads a journal, and at most one byte more than a journal may have.
fn read(file: &File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    asking(|| file.take(LARGEST + 1).read_to_end(&mut bytes))?;
    Ok(bytes)
}

fn line(path: &Path, what: &impl Serialize) -> Result<String> {
    serde_json::to_string(what).map(|text| text + "\n").map_err(|error| Error::file(path, error.to_string()))
}

/// Whether the journal belongs to the search with the options `asked`. If not, the error names the first difference.
fn check(path: &Path, head: &Head, asked: &Value) -> Result<()> {
    let refuse = |what: String| {
        Err(Error::file(
            path,
            format!("is the journal of another search ({what}); give another --journal, or remove it"),
        ))
    };
    if head.version != VERSION {
        return refuse(format!("format version {}, here {VERSION}", head.version));
    }
    if head.asked == *asked {
        return Ok(());
    }
    let nothing = serde_json::Map::new();
    let (was, is) = (head.asked.as_object().unwrap_or(&nothing), asked.as_object().unwrap_or(&nothing));
    let word = |value: Option<&Value>| match value {
        None | Some(Value::Null) => "not given".into(),
        Some(Value::String(text)) => text.chars().take(40).filter(|c| !c.is_control()).collect(),
        Some(value) => value.to_string().chars().take(40).collect::<String>(),
    };
    // an option explains more than the hash of the rows, which depends on everything
    let differs = |key: &&String| was.get(*key) != is.get(*key);
    let all = || is.keys().chain(was.keys()).filter(differs);
    match all().find(|&key| key != "rows").or_else(|| all().next()).map(String::as_str) {
        Some("rows") => refuse("of other data, or of other candidates".into()),
        Some(key) => refuse(format!("{key}: {} there, {} here", word(was.get(key)), word(is.get(key)))),
        None => refuse("other arguments".into()),
    }
}
