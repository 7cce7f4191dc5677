//! Writes a model as Rust source, to be compiled into a program that has no files.

use crate::error::{Result, shown};
use crate::model::Model;
use crate::model::stream::Stream;
use crate::net::shape::Shape;
use crate::net::weight_format::Weights;
use crate::simd::isa::Cpu;
use crate::units::Units;
use crate::units::scaler::Scaler;
use alloc::string::String;
use alloc::{format, vec::Vec};
use core::fmt::Write;

/// The number of steps of the check that is written with a model.
const STEPS: usize = 8;
/// The longest line of numbers.
const WIDTH: usize = 110;

/// The source of a module with `model`: its type (see [`model!`](macro@crate::model)), the model as a static, and some
/// inputs with their exact outputs, so that a program on another machine can check that it computes the same bits.
/// `title` is a line that describes the model.
///
/// Weights have the format that steps read ([`Model::step_weights`]): f32 as PyTorch's tensors under their names,
/// smaller formats packed.
///
/// # Errors
/// If the model predicts changes; a fixed stream keeps no values of earlier rows.
pub fn source(model: &Model, title: &str) -> Result<String> {
    crate::model::fixed::refuse_forms(model)?;
    let shape = *model.shape();
    let cell = crate::cell::type_name(shape.cell, shape.nonlinearity);
    let weights = match model.step_weights() {
        Weights::F32 => "F32",
        Weights::Bf16 => "Bf16",
        Weights::F16 => "F16",
        Weights::Int8 => "Int8",
    };
    let one_line = title.replace(['\n', '\r'], " ");
    let mut out = format!(
        "//! {one_line}. Written by `rnnstep convert`, version {}; whoever changes a number here changes the network.\n",
        env!("CARGO_PKG_VERSION")
    );
    for (mask, value) in (shape.input - model.masks().len()..).zip(model.masks()) {
        out += &format!(
            "//! Input {mask}, counted from 0, is a mask: it is 1 where the value of input {value} is missing, which then is \
             the last one that is known, and 0 elsewhere.\n"
        );
    }
    out += "\n";
    let Shape { input, hidden, layers, output, bias, .. } = shape;
    out += &format!(
        "/// The type of [`MODEL`].\n#[rustfmt::skip]\npub type Model = rnnstep::model!({cell} {{\n    input: {input}, hidden: \
         {hidden}, layers: {layers}, output: {output:?}, bias: {bias}, weights: {weights},\n}});\n\n"
    );
    // the constants are long by nature, and clippy finds well-known numbers among the weights
    out += "/// The network. Begin with `MODEL.stream()`.\n#[rustfmt::skip]\n#[allow(long_running_const_eval)]\n\
            #[allow(clippy::excessive_precision, clippy::approx_constant, clippy::unreadable_literal)]\n\
            pub static MODEL: Model = ";
    match model.step_weights() {
        Weights::F32 => {
            out += "Model::new(&[\n";
            for (name, tensor) in model.weights() {
                out += &format!("    // {} {:?}\n    &[\n", shown(&name), tensor.dims());
                rows(&mut out, tensor.data().iter().map(|&value| number(value)), "        ");
                out += "    ],\n";
            }
            out += "])";
        }
        _ => {
            out += "Model::packed(&[\n";
            rows(&mut out, model.step_params().iter().map(|word| format!("{:#010x}", word.to_bits())), "    ");
            out += "])";
        }
    }
    if let Some((x, y)) = model.scalers() {
        let columns = |values: &[f64]| values.iter().map(|&value| number(value as f32)).collect::<Vec<_>>().join(", ");
        let both =
            |scaler: &Scaler| format!("    [{}],\n    [{}],\n", columns(scaler.shift()), columns(scaler.scale()));
        out += &format!("\n.with_scalers(\n{}{})", both(x), both(y));
    }
    out += ";\n\n";
    check(&mut out, model)?;
    Ok(out)
}

/// Writes the check: inputs from a state of zero, and the outputs.
fn check(out: &mut String, model: &Model) -> Result<()> {
    let (input, width) = (model.shape().input, model.shape().width_out());
    // a fixed model has scalers, but does not put quantiles in order
    let plain = match model.scalers() {
        Some((x, y)) => model.clone().with_units(Units::scaled(x.clone(), y.clone()))?,
        None => model.clone(),
    };
    let mut stream = Stream::on(Cpu::widest(), plain)?;
    let mut x: Vec<f32> = (0..STEPS * input).map(|i| libm::sinf(0.7 * i as f32)).collect();
    if let Some((scaler, _)) = model.scalers() {
        scaler.undo(&mut x);
    }
    let mut y = Vec::with_capacity(STEPS * width);
    for x in x.chunks(input) {
        y.extend_from_slice(stream.step(x)?);
    }
    for (name, about, values, width) in [
        ("X", "Some steps from a state of zero", &x, input),
        ("Y", "What the network makes of [`X`], to the bit, on every processor", &y, width),
    ] {
        out.push_str(&format!(
            "/// {about}.\n#[rustfmt::skip]\n\
             #[allow(clippy::excessive_precision, clippy::approx_constant, clippy::unreadable_literal)]\n\
             pub static {name}: [[f32; {width}]; {STEPS}] = [\n"
        ));
        for row in values.chunks(width) {
            let values = || row.iter().map(|&value| number(value));
            let line = values().collect::<Vec<_>>().join(", ");
            if line.len() <= WIDTH - 8 {
                out.push_str(&format!("    [{line}],\n"));
            } else {
                out.push_str("    [\n");
                rows(out, values(), "        ");
                out.push_str("    ],\n");
            }
        }
        out.push_str("];\n");
        if name == "X" {
            out.push('\n');
        }
    }
    Ok(())
}

/// A value as text that Rust reads back to the same bits.
fn number(value: f32) -> String {
    if value.is_finite() { format!("{value:?}") } else { format!("f32::from_bits({:#010x})", value.to_bits()) }
}

/// Writes values with commas, several on a line.
fn rows(out: &mut String, values: impl Iterator<Item = String>, indent: &str) {
    let mut line = String::new();
    for value in values {
        if !line.is_empty() && indent.len() + line.len() + value.len() + 2 > WIDTH {
            let _ = writeln!(out, "{indent}{line}"); // a string takes whatever is written
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += &value;
        line.push(',');
    }
    if !line.is_empty() {
        let _ = writeln!(out, "{indent}{line}");
    }
}
