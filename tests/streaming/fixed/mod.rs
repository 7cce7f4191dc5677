//! Models whose shape is known at compile time give the bits of a stream, in every order of calls,
//! on every instruction set; and so does the source that `rnnstep convert` writes.

mod original;
mod written;

use rnnstep::model::fixed::FixedShape;
use rnnstep::units::scaler::Scaling;
use rnnstep::{Cpu, Fixed, Isa, Model, Nonlinearity, Scaler, Shape, Stream, Weights};

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Values with a period that divides no size, so that swapped columns cannot cancel.
fn wave<const I: usize>(t: usize) -> [f32; I] {
    std::array::from_fn(|i| ((t * I + i) * 37 % 251) as f32 / 125.0 - 1.0)
}

/// A model of the shape of `N`, with scalers if `scaled`.
fn model<N: FixedShape>(weights: Weights, scaled: bool) -> Model {
    let model = Model::random(N::SHAPE, 7).unwrap().with_weights(weights).unwrap();
    if !scaled {
        return model;
    }
    let scaler = |width: usize| {
        let rows: Vec<f32> = (0..3 * width).map(|i| (i * i % 17) as f32 * 1.3 - 4.0).collect();
        Scaler::fit(Scaling::Standard, &rows, width).unwrap()
    };
    model.with_scalers(scaler(N::SHAPE.input()), scaler(N::SHAPE.width_out())).unwrap()
}

/// Steps, and steps in two halves, against a stream; clones, other states and beginnings.
fn equals_a_stream<N, const I: usize, const O: usize, const P: usize, const M: usize>(
    _: fn() -> Option<Fixed<N, I, O, P, M>>,
    weights: Weights,
) where
    N: FixedShape + Clone,
{
    const STEPS: usize = 24;
    for scaled in [false, true] {
        let model = model::<N>(weights, scaled);
        let fixed = Box::new(Fixed::<N, I, O, P, M>::from_model(&model).unwrap());
        if weights == Weights::F32 && !scaled {
            let tensors: Vec<Vec<f32>> = model.weights().into_iter().map(|(_, tensor)| tensor.into_data()).collect();
            let tensors: Vec<&[f32]> = tensors.iter().map(Vec::as_slice).collect();
            let of_tensors = Box::new(Fixed::<N, I, O, P, M>::new(&tensors));
            let mut streams = (of_tensors.stream(), fixed.stream());
            for t in 0..STEPS {
                assert_eq!(bits(&streams.0.step(wave(t))), bits(&streams.1.step(wave(t))));
            }
        }
        for isa in Isa::available() {
            let cpu = Cpu::new(isa).unwrap();
            let mut stream = Stream::on(cpu, model.clone()).unwrap();
            let mut truth = stream.ticker::<I, O>().unwrap();
            let mut steps = fixed.stream_on(cpu);
            let mut halves = fixed.stream_on(cpu);
            let mut middle = None;
            for t in 0..STEPS {
                let y = truth.step(wave(t));
                let what = format!("{:?} {weights} {} step {t}", N::SHAPE, isa.name());
                assert_eq!(bits(&steps.step(wave(t))), bits(&y), "{what}");
                for _ in 0..t % 3 {
                    halves.advance();
                }
                assert_eq!(bits(&halves.step(wave(t))), bits(&y), "{what}, in halves");
                if t == STEPS / 2 {
                    halves.advance();
                    middle = Some((halves.clone(), stream_state(&steps)));
                }
            }
            // a clone goes on by itself; a state carried over goes on from there
            let (mut clone, (h, c)) = middle.unwrap();
            let mut carried = fixed.stream_on(cpu);
            carried.step(wave(1));
            carried.advance();
            for (layer, (h, c)) in h.iter().zip(&c).enumerate() {
                carried.h_mut(layer).unwrap().copy_from_slice(h);
                if let Some(to) = carried.c_mut(layer) {
                    to.copy_from_slice(c);
                }
            }
            let mut again = Stream::on(cpu, model.clone()).unwrap();
            let mut again = again.ticker::<I, O>().unwrap();
            for t in 0..STEPS {
                let y = again.step(wave(t));
                if t > STEPS / 2 {
                    assert_eq!(bits(&clone.step(wave(t))), bits(&y));
                    assert_eq!(bits(&carried.step(wave(t))), bits(&y));
                }
            }
            // and a stream that is reset is as a new one
            steps.advance();
            steps.reset();
            let mut new = fixed.stream_on(cpu);
            for t in 0..3 {
                assert_eq!(bits(&steps.step(wave(t))), bits(&new.step(wave(t))));
            }
        }
        let mut stream = fixed.stream();
        let count = crate::counting::allocations(|| {
            for t in 0..STEPS {
                stream.step(wave(t));
                stream.advance();
            }
        });
        assert_eq!(count, 0, "allocations of {STEPS} steps");
    }
}

/// h and c of every layer; c is empty where there is none.
type States = (Vec<Vec<f32>>, Vec<Vec<f32>>);

fn stream_state<N, const I: usize, const O: usize, const P: usize, const M: usize>(
    stream: &rnnstep::FixedStream<'_, Fixed<N, I, O, P, M>>,
) -> States
where
    N: FixedShape,
{
    let layers = 0..N::SHAPE.layers();
    assert!(stream.h(N::SHAPE.layers()).is_none() && stream.c(N::SHAPE.layers()).is_none());
    assert!(layers.clone().all(|l| stream.h(l).unwrap().len() == N::SHAPE.hidden()));
    assert!(layers.clone().all(|l| stream.c(l).is_some() == N::SHAPE.cell().has_c()));
    let own = |state: Option<&[f32]>| state.unwrap_or_default().to_vec();
    (layers.clone().map(|l| own(stream.h(l))).collect(), layers.map(|l| own(stream.c(l))).collect())
}

macro_rules! equal {
    ($($cell:ident $input:literal -> $hidden:literal x $layers:literal -> $output:expr, $bias:literal, $weights:ident;)*) => {
        $({
            type Net = rnnstep::model!($cell {
                input: $input, hidden: $hidden, layers: $layers, output: $output, bias: $bias, weights: $weights,
            });
            equals_a_stream::<_, _, _, _, _>((|| None) as fn() -> Option<Net>, Weights::$weights);
        })*
    };
}

#[test]
fn every_cell_equals_its_stream_at_the_seams() {
    equal! {
        Rnn 2 -> 7 x 2 -> Some(2), false, F32;
        Rnn 1 -> 32 x 1 -> Some(1), true, F32;
        RnnRelu 4 -> 100 x 3 -> Some(5), false, F32;
        Lstm 1 -> 8 x 1 -> Some(1), true, F32;
        Lstm 2 -> 9 x 2 -> None, true, F32;
        Lstm 8 -> 64 x 2 -> Some(1), true, F32;
        Gru 3 -> 31 x 2 -> Some(16), true, F32;
        Gru 1 -> 33 x 1 -> None, false, F32;
        Mgu 3 -> 17 x 2 -> Some(2), true, F32;
        Mgu 1 -> 64 x 1 -> None, false, F32;
    }
}

#[test]
fn small_weights_equal_their_streams() {
    equal! {
        Rnn 3 -> 17 x 2 -> None, false, Int8;
        Lstm 1 -> 33 x 1 -> Some(1), true, Bf16;
        Gru 4 -> 32 x 1 -> None, true, F16;
        Gru 1 -> 64 x 1 -> Some(1), false, Int8;
        Mgu 1 -> 33 x 2 -> Some(1), true, Int8;
        Mgu 2 -> 32 x 1 -> Some(1), false, Bf16;
    }
}

type Lstm32 = rnnstep::model!(Lstm { input: 1, hidden: 32, layers: 1, output: Some(1), bias: true, weights: F32 });

#[test]
fn a_model_of_another_shape_or_format_is_refused() {
    let shape = Shape::new(rnnstep::CellKind::Lstm, 1, 32, 1, 1).unwrap();
    let others = [
        shape.with_hidden(31).unwrap(),
        shape.with_cell(rnnstep::CellKind::Gru).unwrap(),
        shape.with_bias(false).unwrap(),
        shape.with_output(None).unwrap(),
        shape.with_input(2).unwrap(),
        shape.with_layers(2).unwrap(),
    ];
    for other in others {
        let error = Lstm32::from_model(&Model::random(other, 0).unwrap()).unwrap_err().to_string();
        assert!(error.contains("the type is for") && error.lines().count() == 1, "{error}");
    }
    let relu = shape.with_cell(rnnstep::CellKind::Rnn).unwrap().with_nonlinearity(Nonlinearity::Relu).unwrap();
    type Tanh = rnnstep::model!(Rnn { input: 1, hidden: 32, layers: 1, output: Some(1), bias: true, weights: F32 });
    assert!(Tanh::from_model(&Model::random(relu, 0).unwrap()).is_err());
    let small = Model::random(shape, 0).unwrap().with_weights(Weights::Bf16).unwrap();
    assert!(Lstm32::from_model(&small).unwrap_err().to_string().contains("bf16 weights"));
}

#[test]
#[should_panic(expected = "another number of values")]
fn a_tensor_of_another_size_is_refused() {
    Lstm32::new(&[&[0.0; 127], &[0.0; 4096], &[0.0; 128], &[0.0; 128], &[0.0; 32], &[0.0]]);
}

#[test]
#[should_panic(expected = "a tensor is missing")]
fn a_missing_tensor_is_refused() {
    Lstm32::new(&[&[0.0; 128], &[0.0; 4096], &[0.0; 128], &[0.0; 128], &[0.0; 32]]);
}

#[test]
#[should_panic(expected = "more tensors")]
fn a_tensor_too_many_is_refused() {
    Lstm32::new(&[&[0.0; 128], &[0.0; 4096], &[0.0; 128], &[0.0; 128], &[0.0; 32], &[0.0], &[0.0]]);
}
