//! What a search has done so far, a line for each training, so that one that was killed goes on where it stopped.

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

/// The longest journal that is read, in bytes: a million trainings, which a search never comes to.
const LARGEST: u64 = 1 << 28;
/// The longest first line: what was asked is a few hundred bytes, and JSON of any form takes many times its length in memory.
const LONGEST_HEAD: usize = 1 << 16;

/// The first line: whose journal it is.
#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(rename = "rnnstep-search")]
    version: u32,
    asked: Value,
}

/// A file of JSON lines that grows. The first says what was asked; it is written whole or not at all. Each of the others is an
/// [`Attempt`]; one that was cut off or damaged is left out, and that training is done again.
///
/// **Bounds.** A journal is read whole, up to 256 MiB; time is linear in its length, memory five times that.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<File>,
    attempts: Vec<Attempt>,
    damaged: usize,
}

impl Journal {
    /// Opens the journal of the search that `asked` describes, an object; begins one if there is none.
    ///
    /// # Errors
    /// If the file is no journal, or one of another search, or cannot be written.
    pub fn open(path: impl Into<PathBuf>, asked: &Value) -> Result<Self> {
        let path = path.into();
        // a device that takes everything is a journal too, of which nothing is ever known
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
            // that of a search of many columns is longer, as this very search would write it
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
                // a part of an error that is an error itself: neither is below 0
                Ok(attempt) if attempt.score.is_none_or(|score| (0.0..f64::INFINITY).contains(&score)) => {
                    attempts.push(attempt);
                }
                _ => damaged += 1,
            }
        }
        let mut file = OpenOptions::new().append(true).open(&path).map_err(|error| Error::io(&path, error))?;
        if !bytes.is_empty() && !bytes.ends_with(b"\n") {
            // what was cut off must not swallow the next line
            file.write_all(b"\n").map_err(|error| Error::io(&path, error))?;
        }
        Ok(Self { path, file: Mutex::new(file), attempts, damaged })
    }

    /// What was done before.
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
        // in one call, so that a line is cut off only by the end of the machine
        file.write_all(line.as_bytes()).map_err(|error| Error::io(&self.path, error))
    }
}

/// At most one byte more than a journal may have.
fn read(file: &File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    asking(|| file.take(LARGEST + 1).read_to_end(&mut bytes))?;
    Ok(bytes)
}

fn line(path: &Path, what: &impl Serialize) -> Result<String> {
    serde_json::to_string(what).map(|text| text + "\n").map_err(|error| Error::file(path, error.to_string()))
}

/// Whether the journal is of the search that is asked for; if not, the first thing that differs is named.
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
        None | Some(Value::Null) => "not said".into(),
        Some(Value::String(text)) => text.chars().take(40).filter(|c| !c.is_control()).collect(),
        Some(value) => value.to_string().chars().take(40).collect::<String>(),
    };
    // an argument says more than the rows, which have everything in them
    let differs = |key: &&String| was.get(*key) != is.get(*key);
    let all = || is.keys().chain(was.keys()).filter(differs);
    match all().find(|&key| key != "rows").or_else(|| all().next()).map(String::as_str) {
        Some("rows") => refuse("of other data".into()),
        Some(key) => refuse(format!("{key}: {} there, {} here", word(was.get(key)), word(is.get(key)))),
        None => refuse("other arguments".into()),
    }
}
