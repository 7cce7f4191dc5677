//! Options in a TOML file, under the names of the flags; and the recipe of a model written as such a file.
//!
//! The options of the file are put among the arguments as if they had been typed, so that one place reads all options.
//! An option that was typed overrides the file.

use super::job::Job;
use crate::cli::failure::Failure;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use rnnstep::Error;
use rnnstep::error::{brief, quoted};
use rnnstep::model::file::Loaded;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use std::any::TypeId;
use std::collections::BTreeMap;
use std::error::Error as _;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use toml::{Spanned, Value};

/// Help headings of the flags that decide a result, in addition to those of a [`Job`]. Names of output files and the
/// device are given on the command line only.
const HEADINGS: [&str; 3] = ["Backtest", "Search", "Learning"];
/// The longest misspelt word for which the nearest name of a flag is looked up, in bytes.
const LONGEST_NAME: usize = 40;
/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// The arguments with those of the file that `--config` names.
pub fn applied(command: &mut Command, matches: ArgMatches) -> Result<ArgMatches, Failure> {
    let Some((name, given)) = matches.subcommand() else { return Ok(matches) };
    let Ok(Some(path)) = given.try_get_one::<PathBuf>("config") else { return Ok(matches) };
    command.build();
    let Some(subcommand) = command.find_subcommand(name) else { return Ok(matches) };
    let words = words(path, subcommand, given)?;
    let mut args: Vec<OsString> = std::env::args_os().collect();
    // right after the name of the command: an option of two words or a `--` may stand at the end
    args.splice(2..2, words);
    let refused = |reason: String| Error::File { path: path.clone(), reason };
    let all = command.clone().try_get_matches_from(args).map_err(|error| refused(in_one_line(&error)))?;
    // the file is to blame if the typed options go together, and no longer do with those of the file; a search has a
    // check of its own for the options that it does not choose
    let wrong = |matches: &ArgMatches| {
        let mut job = Job::from_arg_matches(matches).ok().filter(|_| name != "search")?;
        if name == "evaluate" {
            job.keep_season_of_training();
        }
        job.check().err().map(|failure| failure.into_error().to_string())
    };
    if let (None, Some(reason)) = (wrong(given), all.subcommand().and_then(|(_, matches)| wrong(matches))) {
        return Err(refused(reason).into());
    }
    Ok(all)
}

/// The options of the file, as arguments.
fn words(path: &Path, command: &Command, given: &ArgMatches) -> Result<Vec<OsString>, Failure> {
    let text = read(path)?;
    let line_of = |at: usize| text[..at.min(text.len())].matches('\n').count() as u64 + 1;
    let in_line = |at: usize, reason: String| Error::Row { path: path.into(), line: line_of(at), reason };
    let entries: BTreeMap<Spanned<String>, Spanned<Value>> = toml::from_str(&text).map_err(|error| {
        let reason = error.message().lines().collect::<Vec<_>>().join(", ");
        in_line(error.span().map_or(0, |span| span.start), reason)
    })?;
    let typed = |id: &str| given.value_source(id) == Some(ValueSource::CommandLine);
    let mut words = Vec::new();
    for (key, value) in &entries {
        let arg = named(command, key.get_ref()).map_err(|reason| in_line(key.span().start, reason))?;
        let word = word(command, arg, value.get_ref())
            .map_err(|reason| in_line(value.span().start, format!("{}: {reason}", key.get_ref())))?;
        // a typed --target-as overrides the season of the file as well
        let overruled = |other: &Arg| {
            let against = |one: &Arg, other: &Arg| {
                command.get_arg_conflicts_with(one).iter().any(|found| found.get_id() == other.get_id())
            };
            typed(other.get_id().as_str()) && (against(arg, other) || against(other, arg))
        };
        let of_transform = arg.get_id() == "season" && typed("target_as");
        if !typed(arg.get_id().as_str()) && !of_transform && !command.get_arguments().any(overruled) {
            words.extend(word);
        }
    }
    Ok(words)
}

/// Reads the text, 1 MiB at most: to parse it takes up to three hundred times its size in memory, and linear time.
fn read(path: &Path) -> Result<String, Failure> {
    let io = |source| Error::Io { path: path.into(), source };
    let mut bytes = Vec::new();
    if path.is_dir() {
        let reason = "is a folder; give the name of a file inside it";
        return Err(Error::File { path: path.into(), reason: reason.into() }.into());
    }
    std::fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)).map_err(io)?;
    let refuse = |reason: &str| Error::File { path: path.into(), reason: reason.into() };
    if bytes.len() as u64 > LARGEST {
        return Err(refuse("is too large for a file of options; 1 MiB is the most").into());
    }
    Ok(String::from_utf8(bytes).map_err(|_| refuse("is not text in UTF-8"))?)
}

/// The flag that a key names, or the argument DATA.
fn named<'a>(command: &'a Command, key: &str) -> Result<&'a Arg, String> {
    let all = || command.get_arguments().filter_map(|arg| Some((name(arg)?, arg)));
    let job = recipe_options();
    let decides = |arg: &Arg| {
        let of_job = arg.get_id() != "config" && job.get_arguments().any(|one| one.get_id() == arg.get_id());
        of_job || arg.get_help_heading().is_some_and(|heading| HEADINGS.contains(&heading))
    };
    match all().find(|(name, _)| *name == key) {
        Some((_, arg)) if decides(arg) => Ok(arg),
        Some(_) => Err(format!(
            "{} must be given on the command line; a file holds only options that decide the result",
            quoted(key)
        )),
        None => {
            let known = all().filter(|(_, arg)| decides(arg)).map(|(name, _)| name);
            Err(format!("unknown key {}{}", quoted(key), nearest(key, known)))
        }
    }
}

/// The key of an option in a file.
fn name(arg: &Arg) -> Option<&str> {
    if arg.get_id() == "data" { Some("data") } else { arg.get_long() }
}

fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    // a longer word is not near to any of them, and to compare a megabyte would take a matrix of gigabytes
    if word.len() > LONGEST_NAME {
        return String::new();
    }
    let nearest = known.min_by_key(|known| strsim::damerau_levenshtein(word, known));
    nearest.map_or_else(String::new, |known| format!("; the nearest known is {known}"))
}

/// A value as arguments, if it is one that the flag takes.
fn word(command: &Command, arg: &Arg, value: &Value) -> Result<Vec<OsString>, String> {
    let id = name(arg).unwrap_or_default();
    // a list of files is one argument for each, if the command takes several
    if let (true, Value::Array(values)) = (id == "data", value) {
        let most = if command.get_arguments().any(|arg| arg.get_id() == "more") { usize::MAX } else { 1 };
        if values.len() > most {
            return Err(format!("{} takes one file", command.get_name()));
        }
        // any text can be the name of a file, so there is nothing to check in each of a quarter of a million
        return values.iter().map(|value| Ok(file_word(&item(arg, value)?).into())).collect();
    }
    let Some((word, text)) = flag(arg, value)? else { return Ok(vec![]) };
    match parsed(command, [&word]) {
        Ok(()) => Ok(vec![word.into()]),
        Err(error) => Err(refusal(&error, arg, &text)),
    }
}

/// Whether a command accepts some arguments.
fn parsed(command: &Command, words: impl IntoIterator<Item: Into<OsString> + Clone>) -> Result<(), clap::Error> {
    match command.clone().no_binary_name(true).try_get_matches_from(words) {
        // the arguments that are missing may be given elsewhere
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => Ok(()),
        other => other.map(drop),
    }
}

/// A value as it would be typed: the argument with its flag, and the value alone. `None` if it sets nothing.
fn flag(arg: &Arg, value: &Value) -> Result<Option<(String, String)>, String> {
    let id = name(arg).unwrap_or_default();
    if let ArgAction::SetTrue = arg.get_action() {
        return match value {
            Value::Boolean(true) => Ok(Some((format!("--{id}"), "true".into()))),
            Value::Boolean(false) => Ok(None),
            other => Err(format!("expected true or false, got {}", kind(other))),
        };
    }
    let most = arg.get_num_args().map_or(1, |count| count.max_values());
    let many = matches!(arg.get_action(), ArgAction::Append) || most > 1;
    let text = match value {
        Value::Array(values) if many => {
            if values.is_empty() {
                return Ok(None);
            }
            if most > 1 && values.len() > most {
                return Err(format!("expected at most {most} values, got {}", values.len()));
            }
            values.iter().map(|value| item(arg, value)).collect::<Result<Vec<_>, _>>()?.join(",")
        }
        value => item(arg, value)?,
    };
    let word = match arg.is_positional() {
        true => file_word(&text),
        false => format!("--{id}={text}"),
    };
    Ok(Some((word, text)))
}

/// The name of a file as an argument, so that one that looks like a flag is not read as a flag.
fn file_word(text: &str) -> String {
    if text.starts_with('-') { format!("./{text}") } else { text.into() }
}

/// One value as text, if it is of the type that the flag takes.
fn item(arg: &Arg, value: &Value) -> Result<String, String> {
    let takes = arg.get_value_parser().type_id();
    let is = |types: &[TypeId]| types.iter().any(|one| takes == *one);
    let expected = |what: &str| Err(format!("expected {what}, got {}", kind(value)));
    if is(&[TypeId::of::<bool>()]) {
        return value.as_bool().map_or_else(|| expected("true or false"), |value| Ok(value.to_string()));
    }
    if is(&[TypeId::of::<usize>(), TypeId::of::<u64>()]) {
        return match value {
            Value::Integer(number) if *number >= 0 => Ok(number.to_string()),
            // integers of TOML end at 2^63, seeds at 2^64
            Value::String(text) if text.parse::<u64>().is_ok_and(|number| i64::try_from(number).is_err()) => {
                Ok(text.clone())
            }
            _ => expected("a whole number, not negative"),
        };
    }
    if is(&[TypeId::of::<f64>()]) {
        return match value {
            Value::Integer(number) => Ok(number.to_string()),
            Value::Float(number) => Ok(number.to_string()),
            _ => expected("a number"),
        };
    }
    match value {
        Value::String(text) if arg.get_value_delimiter().is_some_and(|delimiter| text.contains(delimiter)) => {
            Err(format!("{} holds a comma, which separates names; write each name as a text of its own", quoted(text)))
        }
        Value::String(text) => Ok(text.clone()),
        // a column may be given by its number
        Value::Integer(number) if arg.get_possible_values().is_empty() => Ok(number.to_string()),
        _ => expected("a text in quotes"),
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::String(text) => format!("the text {}", quoted(text)),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.to_string(),
        Value::Datetime(_) => "a date".into(),
        Value::Array(_) => "a list".into(),
        Value::Table(_) => "a table".into(),
    }
}

/// Why a flag does not take a value, in one line.
fn refusal(error: &clap::Error, arg: &Arg, text: &str) -> String {
    let possible = arg.get_possible_values();
    let names: Vec<&str> = possible.iter().map(|value| value.get_name()).collect();
    match error.kind() {
        ErrorKind::InvalidValue if !names.is_empty() => {
            format!("{} is none of {}{}", quoted(text), names.join(", "), nearest(text, names.iter().copied()))
        }
        ErrorKind::ValueValidation => error.source().map_or_else(|| in_one_line(error), brief),
        _ => in_one_line(error),
    }
}

/// What is wrong, without the lines on how to call the command.
fn in_one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    brief(lines.join(" ").trim_start_matches("error: "))
}

/// Refuses the model file at `path` if its recipe cannot be read: the loss in such a recipe cannot be trusted either.
pub fn check_recipe(loaded: &Loaded, path: &Path) -> Result<(), Failure> {
    match loaded.metadata.recipe.as_ref().map(job_of) {
        Some(Err(reason)) => Err(Error::File { path: path.into(), reason }.into()),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// The options of a training as a model file stores them. Each is checked as its flag would be. The error is what is
/// wrong.
pub fn job_of(recipe: &Json) -> Result<Job, String> {
    let entries = recipe.as_object().ok_or("its recipe is not a JSON object")?;
    let command = recipe_options();
    let mut words = Vec::new();
    for (key, value) in entries {
        let Some(arg) = command.get_arguments().find(|arg| name(arg) == Some(key)) else {
            return Err(format!("its recipe has the option {}, which this version does not know", quoted(key)));
        };
        if value.is_null() && !arg.get_default_values().is_empty() {
            return Err(format!("its recipe: {key}: expected a value, got null"));
        }
        // the names of data files are not checked
        let Some(value) = of_json(key, value)?.filter(|_| key != "data") else { continue };
        let word = flag(arg, &value).map_err(|reason| format!("its recipe: {key}: {reason}"))?;
        words.extend(word.map(|(word, _)| word));
    }
    parsed(&command, words).map_err(|error| format!("its recipe: {}", in_one_line(&error)))?;
    let job = Job::deserialize(recipe).map_err(|error| format!("its recipe: {error}"))?;
    job.check().map_err(|failure| format!("its recipe: {}", failure.into_error()))?;
    Ok(job)
}

/// The job that the checkpoint `path` has `stored`. The command line, `asked`, may change only how long to train. Any
/// other option that differs is refused, since the result would be neither the old training nor a new one.
pub fn resumed(asked: &Job, path: &Path, stored: &Json, matches: &ArgMatches) -> Result<Job, Failure> {
    let mut job = job_of(stored).map_err(|reason| Error::File { path: path.into(), reason })?;
    let given = serde_json::to_value(asked).map_err(|error| Error::Invalid(error.to_string()))?;
    for (name, value) in given.as_object().into_iter().flatten() {
        let id = name.replace('-', "_");
        if matches.value_source(&id) != Some(ValueSource::CommandLine) {
            continue;
        }
        match id.as_str() {
            "steps" => (job.steps, job.epochs) = (asked.steps, None),
            "epochs" => (job.steps, job.epochs) = (None, asked.epochs),
            "patience" => job.patience = asked.patience,
            "data" if job.data.files() != asked.data.files() => {
                let (was, now) = (job.data.files(), asked.data.files());
                return Err(Failure::Usage(format!("DATA: the training to resume has {was} files, not {now}")));
            }
            "data" => job.data.data.clone_from(&asked.data.data),
            _ if stored.get(name) == Some(value) => {}
            _ => {
                let was = stored.get(name).unwrap_or(&Json::Null);
                return Err(Failure::Usage(format!(
                    "--{name} {value}: the training to resume has {was}; only --steps, --epochs and --patience may change"
                )));
            }
        }
    }
    Ok(job)
}

/// A command whose only options are those of a training.
fn recipe_options() -> Command {
    Job::augment_args(Command::new("recipe"))
}

/// A recipe, as a model file stores it, as TOML from which `train --config` reads the same recipe. Comments stand above
/// it.
pub fn toml(recipe: &Json, comments: &[String]) -> Result<String, String> {
    job_of(recipe)?;
    let (command, nothing) = (recipe_options(), Map::new());
    let recipe = recipe.as_object().unwrap_or(&nothing);
    let args: Vec<(&str, &Arg)> = command.get_arguments().filter_map(|arg| Some((name(arg)?, arg))).collect();
    let mut text: String = comments.iter().map(|comment| format!("# {comment}\n")).collect();
    let mut heading = None;
    for (name, arg) in args {
        let Some(value) = recipe.get(name).map(|value| of_json(name, value)).transpose()?.flatten() else { continue };
        if heading != arg.get_help_heading() {
            heading = arg.get_help_heading();
            let gap = if text.is_empty() { "" } else { "\n" };
            text += &format!("{gap}# {}\n", heading.unwrap_or_default());
        }
        text += &match value {
            // `{:?}` writes a small number in the shorter way, such as 1e-8
            Value::Float(number) => format!("{name} = {number:?}\n"),
            value => format!("{name} = {value}\n"),
        };
    }
    Ok(text)
}

/// A value of JSON as one of TOML; `None` if it sets nothing.
fn of_json(name: &str, value: &Json) -> Result<Option<Value>, String> {
    Ok(Some(match value {
        Json::Null | Json::Bool(false) if name != "header" => return Ok(None),
        Json::Null => return Ok(None),
        Json::Bool(value) => Value::Boolean(*value),
        Json::Array(values) if values.is_empty() => return Ok(None),
        Json::Array(values) => {
            let values = values.iter().map(|value| of_json(name, value)).collect::<Result<Vec<_>, _>>()?;
            Value::Array(values.into_iter().flatten().collect())
        }
        // these characters are stored as the number of their byte
        Json::Number(byte) if name == "delimiter" || name == "comment" => {
            let byte = byte.as_u64().and_then(|byte| u8::try_from(byte).ok()).filter(u8::is_ascii);
            Value::String(byte.map(char::from).ok_or("its recipe: expected an ASCII character")?.to_string())
        }
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Value::Integer(number),
            (_, Some(number), _) => Value::String(number.to_string()),
            (.., number) => Value::Float(number.unwrap_or_default()),
        },
        Json::String(text) => Value::String(text.clone()),
        Json::Object(_) => return Err(format!("its recipe has the object {name:?}, which this version does not know")),
    }))
}
