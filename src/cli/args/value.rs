//! Options whose value is one of a few types of the library, by name: what `--help` and errors list, and what is parsed.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use rnnstep::cuda::{Dtype, Frame};
use rnnstep::data::csv::Missing;
use rnnstep::net::pass::HeadSteps;
use rnnstep::units::scaler::Scaling;
use rnnstep::{CellKind, Nonlinearity, Weights};

/// A parser of the second ones of `values` that gives the first ones; the third ones say in `--help` what they are.
fn one_of<T, const N: usize>(values: [(T, &'static str, &'static str); N]) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    let listed = values.map(|(_, name, help)| PossibleValue::new(name).help(help));
    PossibleValuesParser::new(listed).try_map(move |given| {
        let found = values.iter().find(|(_, name, _)| *name == given);
        found.map(|&(value, ..)| value).ok_or("is none of those that are listed")
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
        Weights::F16 => "16 bits of IEEE 754: off by at most 2^-11 of the weight, at most 65504 large",
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
        (Scaling::None, "none", "As it is"),
    ])
}

pub fn missing() -> impl TypedValueParser<Value = Missing> {
    one_of([
        (Missing::Error, "error", "Stop and say which row it is"),
        (Missing::ForwardFill, "forward-fill", "Take the value of the row before"),
        (Missing::Drop, "drop", "Leave the row out"),
    ])
}

pub fn frame() -> impl TypedValueParser<Value = Frame> {
    let help = |frame| match frame {
        Frame::OneBlock => {
            "A block runs some sequences from the first step to the last, with all weights on its multiprocessor"
        }
        Frame::ManyBlocks => "Blocks share the weights and meet at a barrier after each step",
        Frame::Stepwise => "A product and a cell for every step, two launches each",
    };
    one_of(Frame::ALL.map(|frame| (frame, frame.name(), help(frame))))
}

pub fn dtype() -> impl TypedValueParser<Value = Dtype> {
    let help = |dtype| match dtype {
        Dtype::F32 => "Not at all",
        Dtype::Tf32 => "To 10 bits of mantissa, with the exponent of f32",
        Dtype::Bf16 => "To bfloat16, 7 bits of mantissa",
        Dtype::F16 => {
            "To half precision, 10 bits of mantissa, between 6e-8 and 65504. Inputs, states and outputs of a layer that lie \
             beyond count as 65504, an infinity as well; weights that do are an error. Gradients, which are often smaller \
             than that, are rounded to the same 10 bits with the exponent of f32 instead (tf32): so no scaling of the loss \
             is needed"
        }
    };
    one_of(Dtype::ALL.map(|dtype| (dtype, dtype.name(), help(dtype))))
}
