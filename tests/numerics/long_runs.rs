//! A stream that runs for a very long time is as near to float64 at the end as at the beginning.
//!
//! Float64 is too slow to go along all the way. It need not: these networks forget, so that after [`SETTLED`] steps a state
//! is what the last x made of it, whatever it was before. At each of a few places the last steps are therefore held
//! against float64 that started shortly before; that two float64 runs from different states agree by then is shown on
//! the way.

use rnnstep::measure::reference64::Reference;
use rnnstep::{CellKind, Cpu, Isa, Model, Shape, Stream};

/// Steps of the input before it repeats itself: a prime, so that it fits no other size.
const PERIOD: usize = 1009;

/// Steps after which nothing is left of a state.
const SETTLED: usize = 2000;

/// Steps that are compared at a place.
const COMPARED: usize = 1000;

const HIDDEN: usize = 8;

/// The largest error, of values of about one: that of the benches.
const TOLERANCE: f64 = 1e-6;

fn wave() -> Vec<f32> {
    (0..PERIOD).map(|t| (t as f32 * 0.7).sin() * 0.6 + (t as f32 * 0.153).cos() * 0.4).collect()
}

/// Where steps are compared, the last of them `most`.
fn places(most: usize) -> Vec<usize> {
    [10_000, 1_000_000, 100_000_000].into_iter().filter(|&place| place < most).chain([most]).collect()
}

fn check(cell: CellKind, isa: Isa, most: usize) {
    let model = Model::random(Shape::new(cell, 1, HIDDEN, 1, 1).unwrap(), 5).unwrap();
    let (wave, reference) = (wave(), Reference::of(&model));
    let x = |step: usize| f64::from(wave[step % PERIOD]);
    let mut stream = Stream::on(Cpu::new(isa).unwrap(), model).unwrap();
    let mut tick = stream.ticker::<1, 1>().unwrap();
    let mut step = 0;
    for place in places(most) {
        // the long way, one period after the other
        while step < place - COMPARED {
            let from = step % PERIOD;
            let some = (place - COMPARED - step).min(PERIOD - from);
            for &x in &wave[from..from + some] {
                std::hint::black_box(tick.step([x]));
            }
            step += some;
        }
        let (mut truth, mut other) = (reference.zero(), reference.zero());
        reference.step(&[5.0], &mut other); // another beginning
        for step in step - SETTLED..step {
            reference.step(&[x(step)], &mut truth);
            reference.step(&[x(step)], &mut other);
        }
        let mut most = 0.0_f64;
        while step < place {
            let [y] = tick.step([wave[step % PERIOD]]);
            let truth = reference.step(&[x(step)], &mut truth)[0];
            let other = reference.step(&[x(step)], &mut other)[0];
            assert!((truth - other).abs() < 1e-12, "{cell:?}: this network does not forget");
            most = most.max((f64::from(y) - truth).abs());
            step += 1;
        }
        println!("{} {}: off by {most:.1e} around step {place}", cell.name(), isa.name());
        assert!(most < TOLERANCE, "{cell:?} {isa:?}: off by {most:e} around step {place}");
    }
}

/// 10^8 steps of an RNN and 10^7 of the others, some ten seconds; fewer on the other instruction sets.
#[test]
fn none_in_a_hundred_million_steps() {
    for isa in Isa::available() {
        let widest = isa == Cpu::widest().isa();
        for cell in CellKind::ALL {
            let most = match (isa, cell) {
                (Isa::Portable, _) => 100_000,
                (_, CellKind::Rnn) if widest => 100_000_000,
                _ if widest => 10_000_000,
                _ => 1_000_000,
            };
            check(cell, isa, most);
        }
    }
}
