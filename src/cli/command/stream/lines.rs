//! The lines of standard input: rows of numbers, perhaps below a line with the names of the columns.

use crate::cli::args::sequences::no_mask;
use crate::cli::failure::Failure;
use crate::cli::output::screen::say_once;
use rnnstep::Error;
use rnnstep::data::csv::{Missing, is_missing};
use rnnstep::data::holes::Carried;
use rnnstep::error::{listed, quoted};

/// A line that sets the state back to zero.
const RESET: &str = "reset";

/// What a line holds.
pub enum Line {
    /// A row, which was put into the buffer.
    Row,
    /// The names of the columns.
    Names,
    /// The word that sets the state back.
    Reset,
    /// A row with a missing value that is left out without a word, because it was asked for.
    LeftOut,
}

/// Reads lines as rows of a model.
pub struct Lines<'a> {
    /// The names of the model's inputs; empty if its file has none.
    inputs: &'a [String],
    width: usize,
    missing: Missing,
    by_position: bool,
    /// For each input, the place of its field in a line. Without a line of names they are in order.
    places: Vec<usize>,
    /// The number of fields in a line.
    fields: usize,
    /// Whether the first line that is not empty was read.
    begun: bool,
    /// The inputs that have a mask.
    masks: Vec<usize>,
    /// The last value of each input.
    carried: Carried,
    /// The values of the last row as they came, NaN where they are missing.
    row: Vec<f64>,
}

impl<'a> Lines<'a> {
    /// Lines of `width` values, called `inputs`, for a model whose inputs `masks` have a mask.
    pub fn new(inputs: &'a [String], width: usize, masks: &[usize], missing: Missing, by_position: bool) -> Self {
        let (places, carried) = ((0..width).collect(), Carried::new(width, masks));
        let missing = missing.of_a_model(masks);
        let (masks, row) = (masks.to_vec(), Vec::new());
        Self { inputs, width, missing, by_position, places, fields: width, begun: false, masks, carried, row }
    }

    /// The values of the last row, NaN where they are missing.
    pub fn values(&self) -> &[f64] {
        &self.row
    }

    /// Reads line number `number` into `x`. An error of the inner result concerns this line alone.
    ///
    /// # Errors
    /// If the first line names columns, and not those of the model.
    pub fn read(&mut self, number: u64, line: &[u8], x: &mut Vec<f64>) -> Result<Result<Line, String>, Failure> {
        x.clear();
        let line = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        let Ok(line) = std::str::from_utf8(line) else { return Ok(Err("not UTF-8".into())) };
        let line = line.trim_end_matches(['\n', '\r']);
        if line.trim() == RESET {
            self.carried.reset(); // nothing is filled in from before it
            return Ok(Ok(Line::Reset));
        }
        let fields = split(line, self.fields);
        if !std::mem::replace(&mut self.begun, true) && are_names(&fields) {
            return self.take_names(&fields).map(|()| Ok(Line::Names));
        }
        Ok(self.row(&fields, x))
    }

    fn row(&mut self, fields: &[&str], x: &mut Vec<f64>) -> Result<Line, String> {
        if let ([""], 2..) = (fields, self.fields) {
            return Err("the line is empty".into());
        }
        if fields.len() != self.fields {
            return Err(format!("expected {} numbers, got {}", self.fields, fields.len()));
        }
        self.row.clear();
        for &place in &self.places {
            let text = fields[place];
            self.row.push(match self.missing {
                _ if !is_missing(text) => number(text)?,
                Missing::Drop => return Ok(Line::LeftOut),
                Missing::ForwardFill | Missing::Mask => f64::NAN,
                Missing::Error => return Err(format!("{} is missing; {}", self.about(place), Missing::ADVICE)),
            });
        }
        // a value that is filled in counts as one that was read
        self.carried.row(&self.row, x).map_err(|column| {
            let place = self.places.get(column).copied().unwrap_or(column);
            format!("{} is missing, and there is none before it", self.about(place))
        })?;
        if self.missing == Missing::ForwardFill {
            self.row.clone_from(x);
        }
        if let Some(column) =
            self.row.iter().enumerate().position(|(i, value)| value.is_nan() && !self.masks.contains(&i))
        {
            let name = self.inputs.get(column).map_or_else(|| format!("input {}", column + 1), |name| quoted(name));
            say_once("no mask", &no_mask(&name));
        }
        Ok(Line::Row)
    }

    /// The value at a place of a line, in words.
    fn about(&self, place: usize) -> String {
        let input = self.places.iter().position(|&other| other == place).and_then(|input| self.inputs.get(input));
        match input {
            Some(name) if self.fields > 1 => format!("the value of {}", quoted(name)),
            _ if self.fields > 1 => format!("the value of field {}", place + 1),
            _ => "the value".into(),
        }
    }

    /// Takes the names of the columns.
    fn take_names(&mut self, names: &[&str]) -> Result<(), Failure> {
        self.fields = names.len();
        let wrong = |reason: String| Err(Error::File { path: "standard input".into(), reason }.into());
        let is = |input: &String| names.iter().filter(|name| *name == input).count();
        if let Some(twice) = self.inputs.iter().find(|input| is(input) > 1 && !self.by_position) {
            let reason = format!("line 1 names two columns {}; rename one, or add --by-position", quoted(twice));
            return wrong(reason);
        }
        let by_name: Option<Vec<usize>> =
            self.inputs.iter().map(|input| names.iter().position(|name| name == input)).collect();
        let numbered = self.inputs.iter().all(|input| input.parse::<usize>().is_ok());
        if self.by_position || numbered {
            if names.len() == self.width {
                return Ok(());
            }
            let reason =
                format!("line 1 names {} columns ({}), and the model takes {}", names.len(), listed(names), self.width);
            return wrong(reason);
        }
        match by_name {
            Some(places) => {
                self.places = places;
                Ok(())
            }
            None => {
                let reason = format!(
                    "line 1 names the columns {}, and the model was trained on {}; rename them, or add --by-position to \
                     take columns in their order",
                    listed(names),
                    listed(self.inputs)
                );
                wrong(reason)
            }
        }
    }
}

/// The fields of a line, of which there should be `count`: between commas, semicolons or tabs if there are any, and
/// otherwise between spaces. A field between delimiters may hold several numbers with spaces between them.
fn split(line: &str, count: usize) -> Vec<&str> {
    let by_tab = line.contains('\t') && (line.trim().contains('\t') || line.matches('\t').count() + 1 == count);
    if !line.contains([',', ';']) && !by_tab {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // an empty line of one column is a missing value
        return if fields.is_empty() { vec![""] } else { fields };
    }
    let delimiters: &[char] = if line.contains([',', ';']) { &[',', ';'] } else { &['\t'] };
    let mut fields = Vec::new();
    for cell in line.split(delimiters).map(|cell| cell.trim().trim_matches('"').trim()) {
        if !cell.is_empty() && cell.split_whitespace().all(|part| part.parse::<f64>().is_ok()) {
            fields.extend(cell.split_whitespace());
        } else {
            fields.push(cell);
        }
    }
    fields
}

/// Whether the fields of a line are names: none is a number or missing.
fn are_names(fields: &[&str]) -> bool {
    fields.iter().all(|field| field.parse::<f64>().is_err() && !is_missing(field))
}

/// The number of a field.
fn number(text: &str) -> Result<f64, String> {
    let shown = || text.chars().take(20).collect::<String>();
    let value = text.parse::<f64>().map_err(|_| format!("{:?} is not a number", shown()))?;
    if (value as f32).is_finite() { Ok(value) } else { Err(format!("{:?} is not a finite number", shown())) }
}
