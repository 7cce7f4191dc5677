//! Options with the name of a value of the library: the names that `--help` and errors list, and how they are parsed.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use rnnstep::cuda::{Dtype, Frame};
use rnnstep::data::csv::Missing;
use rnnstep::net::pass::HeadSteps;
use rnnstep::units::scaler::Scaling;
use rnnstep::{CellKind, Nonlinearity, Weights};

/// A parser for `values`, each of which is a value, its name and its text in `--help`.
fn one_of<T, const N: usize>(values: [(T, &'static str, &'static str); N]) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    let listed = values.map(|(_, name, help)| PossibleValue::new(name).help(help));
    PossibleValuesParser::new(listed).try_map(move |given| {
        let found = values.iter().find(|(_, name, _)| *name == given);
        found.map(|&(value, ..)| value).ok_or("is not one of the values that are listed")
    })
}

pub fn cell() -> impl TypedValueParser<Value = CellKind> {
    one_of(CellKind::ALL.map(|cell| (cell, cell.name(), cell.about().trim_end_matches('.'))))
}

pub fn nonlinearity() -> impl TypedValueParser<Value = Nonlinearity> {
    one_of([(Nonlinearity::Tanh, "tanh", "Hyperbolic tangent"), (Nonlinearity::Relu, "relu", "`max(x, 0)`")])
}

pub fn weights() -> impl TypedValueParser<Value = Weights> {
    let help = |format| match format {
        Weights::F32 => "32 bits, as trained",
        Weights::Bf16 => "16 bits with the exponent of f32: off by at most 2^-8 of the weight",
        Weights::F16 => "16 bits of IEEE 754: off by at most 2^-11 of the weight; weights up to 65504",
        Weights::Int8 => "8 bits with a scale for each row: off by at most 1/254 of the row's largest weight",
    };
    one_of(Weights::ALL.map(|format| (format, format.name(), help(format))))
}

pub fn loss_on() -> impl TypedValueParser<Value = HeadSteps> {
    one_of([(HeadSteps::All, "all", "Every step"), (HeadSteps::Last, "last", "The last step only")])
}

pub fn scaling() -> impl TypedValueParser<Value = Scaling> {
    let standard = "Mean 0 and standard deviation 1 (of the population, as scikit-learn's `StandardScaler`)";
    one_of([
        (Scaling::Standard, "standard", standard),
        (Scaling::MinMax, "min-max", "From 0 to 1"),
        (Scaling::None, "none", "No scaling"),
    ])
}

pub fn missing() -> impl TypedValueParser<Value = Missing> {
    one_of([
        (Missing::Error, "error", "Stop and name the row"),
        (Missing::ForwardFill, "forward-fill", "Take the value of the row before"),
        (Missing::Drop, "drop", "Leave the row out"),
        (
            Missing::Mask,
            "mask",
            "Leave a missing target out of the loss and of all scores; in place of a missing input, take the last value, \
             and give the network one more input, a mask, that is 1 where the value is missing",
        ),
    ])
}

pub fn frame() -> impl TypedValueParser<Value = Frame> {
    let help = |frame| match frame {
        Frame::OneBlock => {
            "A block runs some sequences from the first step to the last, with all weights on its multiprocessor"
        }
        Frame::ManyBlocks => "Blocks share the weights and meet at a barrier after each step",
        Frame::Stepwise => "Every step is two launches: a matrix product and a cell",
    };
    one_of(Frame::ALL.map(|frame| (frame, frame.name(), help(frame))))
}

pub fn dtype() -> impl TypedValueParser<Value = Dtype> {
    let help = |dtype| match dtype {
        Dtype::F32 => "No rounding",
        Dtype::Tf32 => "Rounded to 10 bits of mantissa, with the exponent of f32",
        Dtype::Bf16 => "Rounded to bfloat16, 7 bits of mantissa",
        Dtype::F16 => {
            "Rounded to half precision: 10 bits of mantissa, sizes between 6e-8 and 65504. Larger inputs, states and \
             outputs of a layer count as 65504, and so does an infinity; larger weights are an error. Gradients are \
             often smaller than 6e-8, so they are rounded to 10 bits with the exponent of f32 (tf32), and the loss \
             needs no scaling"
        }
    };
    one_of(Dtype::ALL.map(|dtype| (dtype, dtype.name(), help(dtype))))
}

/// Numbers in a recipe: a single one stands alone, as it did when there could be only one.
pub mod one_or_more {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Numbers {
        One(usize),
        Several(Vec<usize>),
    }

    pub fn serialize<S: Serializer>(numbers: &[usize], serializer: S) -> Result<S::Ok, S::Error> {
        match numbers {
            [one] => Numbers::One(*one).serialize(serializer),
            several => several.serialize(serializer),
        }
    }

    pub fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Vec<usize>, D::Error> {
        Ok(match Numbers::deserialize(deserializer)? {
            Numbers::One(one) => vec![one],
            Numbers::Several(several) => several,
        })
    }
}
